"""What a database holds after a case's mails, as plain data without anything that changes from run to run.

What is empty is left out; times are minutes after the start, records are called by their numbers.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, cast

from pydantic import TypeAdapter
from sqlalchemy import Row, Table, select

from revscript.jail.effects import Effect
from revscript.jail.limits import Tagged
from revscript.jail.reading.model import Reading
from revscript.model import METHODS
from revscript.store import record_tables, schema
from revscript.store.blobs import Blobs
from revscript.store.database import Database

LONGEST = 500  # characters of a text
MOST = 20  # entries of a list of which only the beginning is shown when it is longer

Plain = dict[str, Any]
Found = Row[Any]

_effect: TypeAdapter[Effect] = TypeAdapter(Annotated[Effect, Tagged("effect")])
_reading: TypeAdapter[Reading] = TypeAdapter(Reading)


class Picture:
    """A look at a database; `start` is minute 0."""

    def __init__(self, database: Database, start: datetime) -> None:
        self._database = database
        self._start = start
        self._missions = {one.id: one.number for one in self._rows(record_tables.mission)}

    def whole(self) -> Plain:
        """The mails with their tries, then all records."""
        return _lean(
            {
                "mails": [self._mail(one) for one in self._rows(schema.mail)],
                "forms": [self._form(one) for one in self._rows(record_tables.message_form)],
                "missions": [self._mission(one) for one in self._rows(record_tables.mission)],
                "folders": [self._folder_item(one) for one in self._rows(record_tables.folder_item)],
                "notices": [self._notice(one) for one in self._rows(record_tables.notice)],
                "centre": [f"mail {one.mail_id}: {one.state}" for one in self._rows(record_tables.centre_entry)],
                "outbox": [self._act(one) for one in self._rows(schema.act)],
                "problems": [f"{one.where}: {one.what} {one.way_out}" for one in self._rows(schema.problem)],
            }
        )

    def _rows(self, table: Table, **where: Any) -> list[Found]:
        with self._database.read() as tx:
            return list(tx.execute(select(table).filter_by(**where).order_by(next(iter(table.c)))))

    def _minute(self, time: datetime | None) -> float | None:
        return None if time is None else round((time - self._start).total_seconds() / 60, 2)

    # ------------------------------------------------------------ mails

    def _mail(self, one: Found) -> Plain:
        tasks = sorted(self._rows(schema.task, mail_id=one.id), key=lambda task: METHODS.index(task.method))
        return {
            "mail": one.id,
            "arrived": self._minute(one.received_at),
            **self._as_read(one.id),
            "possible_duplicate_of": one.possible_duplicate_of,
            "labels": [label.text for label in self._rows(record_tables.mail_label, mail_id=one.id)],
            "state": one.state,
            "tasks": [self._task(task) for task in tasks],
        }

    def _as_read(self, mail_id: int) -> Plain:
        for row in self._rows(schema.reading, mail_id=mail_id):
            read = _reading.validate_json(Blobs(self._database).content(row.blob_id), strict=True)
            flags = ("fallback", "is_auto_reply", "is_bounce", "is_list")
            return {
                "subject": _head(read.subject),
                "from": [f"{address.name} <{address.address}>".strip() for address in read.from_],
                "date": read.date,
                "flags": [name for name in flags if getattr(read, name)],
                "attachments": [f"{part.name}{' (inline)' if part.inline else ''}" for part in read.attachments],
                "defects": list(read.defects),
            }
        return {}

    def _task(self, one: Found) -> Plain:
        tries = [self._run(run) for run in self._rows(schema.run, task_id=one.id)]
        return {"method": one.method, "state": one.state, "reason": one.reason, "tries": tries}

    def _run(self, one: Found) -> Plain:
        return {
            "minute": self._minute(one.now),
            "by": one.by,
            "exit": one.exit,
            "asked": [_asked(pair) for pair in one.asked],
            "effects": _beginning([_in_words(effect) for effect in one.effects]),
            "log": _beginning(one.log),
            "trouble": one.trouble,
        }

    # ------------------------------------------------------------ records

    def _form(self, one: Found) -> Plain:
        register = self._missions.get(one.register_mission_id)
        return {
            "number": f"{one.register_no} of mission {register}" if register else one.register_no,
            "mission": self._missions.get(one.mission_id),
            "key": one.external_key,
            "mails": sorted(source.mail_id for source in self._rows(record_tables.form_source, form_id=one.id)),
            "state": one.state,
            "priority": one.priority,
            "subject": one.subject,
            "text": _head(one.text),
            "sender_unit": one.sender_unit,
            "sender_address": one.sender_address,
            "addressee": one.addressee,
            "distribution": [found.function for found in self._rows(record_tables.form_recipient, form_id=one.id)],
            "composed_at": one.composed_at and one.composed_at.isoformat(),
            "composed_at_raw": one.composed_at_raw,
            "attachments": [self._file(found) for found in self._rows(record_tables.form_attachment, form_id=one.id)],
            "entries": [_entry(found) for found in self._rows(record_tables.form_entry, form_id=one.id)],
        }

    def _mission(self, one: Found) -> Plain:
        return {
            "number": one.number,
            "kind": one.kind,
            "state": one.state,
            "lead": one.lead or None,
            "title": one.title,
            "keyword": one.keyword,
            "address": one.address,
            "position": None if one.lat is None else [one.lat, one.lon],
            "text": _head(one.text),
            "units": one.units,
            "as_of": one.as_of and one.as_of.isoformat(),
            "entries": [_entry(found) for found in self._rows(record_tables.mission_entry, mission_id=one.id)],
        }

    def _folder_item(self, one: Found) -> Plain:
        where = self._missions.get(one.mission_id, "unassigned tray")
        renamed = one.original_name if one.original_name != one.name else None
        return {
            "in": where,
            "file": self._file(one),
            "original_name": renamed,
            "tags": one.tags,
            "why": one.why,
            "by": one.by,
        }

    def _notice(self, one: Found) -> Plain:
        lowered = one.wished_level if one.wished_level != one.level else None
        own_key = one.key.removeprefix("key:") if one.key.startswith("key:") else None
        return {
            "to": f"{one.audience} {one.name}".rstrip(),
            "level": one.level,
            "wished_level": lowered,
            "text": one.text,
            "key": own_key,
            "about": self._missions.get(one.mission_id),
            "updates": one.updates or None,
            "mail": one.mail_id,
        }

    def _act(self, one: Found) -> Plain:
        files = one.payload["attachments"]
        return {
            "key": one.key,
            "lane": one.lane,
            "level": one.level,
            "state": one.state,
            "dies_after_minutes": self._minute(one.not_after),
            **one.payload,
            "attachments": [f"{file['name']}, {file['type']}, {self._size(file['blob_id'])}" for file in files],
        }

    def _file(self, one: Found) -> str:
        return f"{one.name}, {one.type}, {self._size(one.blob_id)}"

    def _size(self, blob_id: int) -> str:
        (found,) = self._rows(schema.blob, id=blob_id)
        return f"{found.size} bytes"


def _in_words(effect: Plain) -> Plain:
    return {"words": _effect.validate_python(effect).words(), **effect}


def _asked(pair: Plain) -> str:
    question = dict(pair["question"])
    name = question.pop("question")
    wanted = ", ".join(f"{key}={value!r}" for key, value in question.items() if value is not None)
    return f"{name}({wanted}) → {_answer(pair['answer'])}"


def _answer(answer: Any) -> str:
    if isinstance(answer, list):
        return f"[{', '.join(_answer(one) for one in cast('list[Any]', answer))}]"
    if answer is None:
        return "nothing"
    return " ".join(f"{name}={value!r}" for name, value in _lean(answer).items())


def _entry(one: Found) -> str:
    mail = f", mail {one.mail_id}" if one.mail_id else ""
    return f"{one.kind} by {one.by}{mail}: {one.text}"


def _head(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)} characters)"


def _beginning(entries: list[Any]) -> list[Any]:
    return entries if len(entries) <= MOST else [*entries[:3], f"… ({len(entries)} in all)", entries[-1]]


def _lean(value: Any) -> Any:
    """The same without what is empty (but 0 and False say something)."""
    if isinstance(value, dict):
        items = ((name, _lean(one)) for name, one in cast("Plain", value).items())
        return {name: one for name, one in items if one is not None and one not in ("", [], {})}
    if isinstance(value, list):
        return [_lean(one) for one in cast("list[Any]", value)]
    return value
