"""Incoming message forms (Belegeingang, 4-fach Vordruck; domain.md §1, §2).

A mail has one form of its own, however it came about: a script and the form method meet on it. A script that names keys
may file one mail on several forms (several incidents in one mail), and several mails on one. While nobody has touched a
form, the script's words win; afterwards they become a linked entry: nothing changes under a person's hands.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, bindparam, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from revscript.jail.effects import MAX_TEXT, FileForm
from revscript.jail.plain import to_plain
from revscript.jail.questions import FindForm, FormAnswer
from revscript.jail.reading.model import MailAddress, Reading
from revscript.records import missions, registers
from revscript.records.context import Context, File, MailFacts
from revscript.store.record_tables import form_attachment, form_entry, form_recipient, form_source, message_form

OLDEST_PLAUSIBLE = timedelta(hours=24)  # design §10: time of origin
MOST_AHEAD = timedelta(minutes=10)
MAX_SUBJECT = 255  # characters; domain.md §1, field 13
DIRECT_FIELDS = ("subject", "text", "priority", "sender_unit", "addressee")

_form_by_key = select(message_form).where(message_form.c.external_key == bindparam("key"))
_form_by_mail = (
    select(message_form)
    .join(form_source, form_source.c.form_id == message_form.c.id)
    .where(form_source.c.mail_id == bindparam("mail_id"))
    .order_by(message_form.c.id)
    .limit(1)
)

# Words for the entries that people read.
_WORDS = {"mission_id": "mission", "sender_unit": "sender", "external_key": "key"}


def find(tx: Connection, question: FindForm, mail_id: int | None) -> Any:
    """Answer `FindForm`: by the script's key, else the form of this mail."""
    row = _by_key(tx, question.key) if question.key is not None else _by_mail(tx, mail_id)
    if row is None:
        return None
    answer = FormAnswer(
        ref=f"form:{row.id}",
        number=row.register_no,
        state=row.state,
        priority=row.priority,
        subject=row.subject,
        key=row.external_key,
        mission=f"mission:{row.mission_id}" if row.mission_id else None,
        touched=row.touched_at is not None,
    )
    return to_plain(answer)


def _by_key(tx: Connection, key: str) -> Row[Any] | None:
    return tx.execute(_form_by_key, {"key": key}).one_or_none()


def _by_mail(tx: Connection, mail_id: int | None) -> Row[Any] | None:
    return tx.execute(_form_by_mail, {"mail_id": mail_id}).one_or_none()


def file(context: Context, effect: FileForm) -> str:
    """Carry out `FileForm`: make the form, or add to the one that is there."""
    mail = context.the_mail()
    own = _by_mail(context.tx, mail.id)
    row = _target(context.tx, effect.key, own)
    mission_id = context.record_id(effect.mission, "mission")
    if row is None:
        form_id = _make(context, mail, effect, mission_id)
    else:
        form_id = row.id
        _add(context, mail, row, effect, mission_id, own=own is not None and own.id == form_id)
        if own is not None and own.id != form_id and own.external_key is None:
            _enter(context, own.id, "linked", f"the script adds this mail to {_named(row)}")
    context.tx.execute(upsert(form_source).on_conflict_do_nothing(), {"mail_id": mail.id, "form_id": form_id})
    _attach(context, form_id, effect)
    if row is None or row.touched_at is None:
        _distribute(context, form_id, effect)
    return f"form:{form_id}"


def _target(tx: Connection, key: str | None, own: Row[Any] | None) -> Row[Any] | None:
    """The form that is meant: the key's, else the mail's own, unless that has another key already."""
    if key is None:
        return own
    return _by_key(tx, key) or (own if own is not None and own.external_key is None else None)


def _named(row: Row[Any]) -> str:
    register = f"of mission no. {row.register_mission_id}" if row.register_mission_id else "of the post's register"
    return f"form no. {row.register_no} {register}"


def _make(context: Context, mail: MailFacts, effect: FileForm, mission_id: int | None) -> int:
    sender = mail.reading.sender or MailAddress(address="")
    register = mission_id or registers.POST
    number = registers.draw(context.tx, register, "messages")
    values = {
        "mission_id": mission_id,
        "register_mission_id": register,
        "register_no": number,
        "direction": "in",
        "state": "to_review",
        "priority": "routine",
        "subject": _cut(mail.reading.subject),
        "text": (_head(mail.reading) if mail.reading.fallback else mail.reading.text)[:MAX_TEXT],
        # A name that looks like an address may be somebody else's: then only the real address counts.
        "sender_unit": sender.name if sender.name and "@" not in sender.name else sender.address,
        "sender_address": sender.address,
        "addressee": mail.account.addressee or context.settings.organisation.name,
        "medium_actual": "email",
        "received_at": mail.received_at,
        "received_by": "MAIL",
        "composed_at": _plausible(mail),
        "composed_at_raw": _header(mail, "date"),
        "external_key": effect.key,
        "as_of": mail.date,
        "created_at": context.now,
        **_said(effect),
    }
    form_id = context.insert(message_form, **values)
    _enter(context, form_id, "filed", f"no. {number}")
    for defect in _defects(mail, values["composed_at"] is None):
        _enter(context, form_id, "defect", defect)
    if mission_id:
        missions.filed(context, mission_id, number)
    if mail.reading.fallback and mail.raw is not None:
        _attach_file(context, form_id, mail.raw)
    return form_id


def _head(reading: Reading) -> str:
    """What stands in the form of a mail that could not be read: its header lines."""
    return "\n".join(f"{name}: {value}" for name, value in reading.headers)


def _cut(subject: str) -> str:
    return subject if len(subject) <= MAX_SUBJECT else subject[: MAX_SUBJECT - 1] + "…"


def _defects(mail: MailFacts, undated: bool) -> list[str]:
    """What people should know of the mail behind the form."""
    found = list(mail.reading.defects)
    if undated:
        found.append("the mail has no plausible date: the time of origin is left empty")
    if len(mail.reading.text) > MAX_TEXT:
        found.append(f"only the first {MAX_TEXT} of {len(mail.reading.text)} characters stand here")
    if mail.repeats is not None:
        found.append(f"the same bytes as mail {mail.repeats}: probably a repetition")
    return found


def _add(
    context: Context, mail: MailFacts, row: Row[Any], effect: FileForm, mission_id: int | None, *, own: bool
) -> None:
    here = message_form.c.id == row.id
    if effect.key and row.external_key is None:  # by it further mails find the form, whatever its state is
        context.tx.execute(update(message_form).where(here).values(external_key=effect.key))
    said = _said(effect)
    if not own and "text" not in said:
        said["text"] = mail.reading.text
    if row.touched_at is not None:
        if text := _as_text(effect, said, mission_id):
            _enter(context, row.id, "linked", text)
        return
    if row.as_of and mail.date < row.as_of:
        _enter(context, row.id, "late", _as_text(effect, said, mission_id) or effect.words())
        return
    if "text" in said and (not own or _is_shared(context.tx, row.id)):  # the other mails' texts stay
        zone = ZoneInfo(context.settings.time_zone)
        both = f"{row.text}\n\n— {mail.date.astimezone(zone):%d.%m.%Y %H:%M} —\n{said['text']}"
        if len(both) <= MAX_TEXT:
            said["text"] = both
        else:  # the form is full: many mails with one key must not make it grow for ever
            _enter(context, row.id, "linked", said.pop("text"))
    if mission_id and row.mission_id is None:
        said["mission_id"] = mission_id
        missions.filed(context, mission_id, row.register_no)
    if said or mail.date != row.as_of:  # also a mail that says nothing new: an older one must not undo what it confirms
        context.tx.execute(update(message_form).where(here).values(**said, as_of=mail.date))
    if said:
        _enter(context, row.id, "changed", ", ".join(_WORDS.get(name, name) for name in sorted(said)))


def _said(effect: FileForm) -> dict[str, Any]:
    return {name: value for name in DIRECT_FIELDS if (value := getattr(effect, name)) is not None}


def _is_shared(tx: Connection, form_id: int) -> bool:
    mails = select(form_source.c.mail_id).where(form_source.c.form_id == form_id).limit(2)
    return len(tx.execute(mails).all()) == 2


def _as_text(effect: FileForm, said: dict[str, Any], mission_id: int | None) -> str:
    found = dict(said)
    if mission_id:
        found["mission"] = f"no. {mission_id}"
    if effect.distribution:
        found["distribution"] = ", ".join(effect.distribution)
    if effect.attachments:
        found["attachments"] = str(len(effect.attachments))
    return "\n".join(f"{_WORDS.get(name, name)}: {value}" for name, value in found.items())


def _distribute(context: Context, form_id: int, effect: FileForm) -> None:
    for function in effect.distribution:
        context.tx.execute(upsert(form_recipient).on_conflict_do_nothing(), {"form_id": form_id, "function": function})


def _attach(context: Context, form_id: int, effect: FileForm) -> None:
    for one in context.files(effect.attachments):
        _attach_file(context, form_id, one)


def _attach_file(context: Context, form_id: int, file: File) -> None:
    values = {"form_id": form_id, "blob_id": file.blob_id, "name": file.name}
    values |= {"type": file.type, "mail_id": context.mail_id}
    context.tx.execute(upsert(form_attachment).on_conflict_do_nothing(), values)


def _plausible(mail: MailFacts) -> datetime | None:
    """The mail's date as time of origin: never an invented one (domain.md §2, design §10)."""
    if mail.reading.date is None:
        return None
    date = datetime.fromisoformat(mail.reading.date)
    in_time = mail.received_at - OLDEST_PLAUSIBLE <= date <= mail.received_at + MOST_AHEAD
    return date if in_time else None


def _header(mail: MailFacts, name: str) -> str:
    return next((value for key, value in mail.reading.headers if key.lower() == name), "")


def _enter(context: Context, form_id: int, kind: str, text: str) -> None:
    values = {"form_id": form_id, "kind": kind, "text": text[:MAX_TEXT], "by": context.by, "at": context.now}
    context.insert(form_entry, **values, mail_id=context.mail_id)
