"""What people look at: questions to the store, each answered with a list of dictionaries.

Keys are stable (docs/json.md); times are aware datetimes; lists are newest first.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sqlalchemy import Connection, Executable, func, select
from sqlalchemy.sql.elements import ColumnElement

from revscript.model import AT_ONCE, Trouble
from revscript.store.database import Database
from revscript.store.ledger import AFTER_FRESH
from revscript.store.record_tables import folder_item, form_source, mail_label, message_form, mission, notice
from revscript.store.schema import act, applied_effect, mail, mailbox, reading, run, task, task_entry

View = dict[str, Any]

_MAIL = (
    mail.c.id,
    mail.c.account,
    mail.c.received_at.label("received"),
    reading.c.sender.label("from"),
    reading.c.subject,
    mail.c.state,
    (mail.c.settle == "settled").label("settled"),
    mail.c.size,
    reading.c.fallback,
)
_MAILS = select(*_MAIL).outerjoin(reading, reading.c.mail_id == mail.c.id).order_by(mail.c.id.desc())
_QUARANTINED = task.c.state == "quarantined"


def mails(database: Database, limit: int) -> list[View]:
    """Received mails. `from`, `subject` and `fallback` are None until a mail is read."""
    with database.read() as tx:
        return _mails(tx, mail.c.id.in_(select(mail.c.id).order_by(mail.c.id.desc()).limit(limit)))


def _mails(tx: Connection, which: ColumnElement[bool]) -> list[View]:
    tasks: dict[int, dict[str, str]] = defaultdict(dict)
    chosen = select(mail.c.id).where(which)
    states = select(task.c.mail_id, task.c.method, task.c.state).order_by(task.c.id)
    for mail_id, method, state in tx.execute(states.where(task.c.mail_id.in_(chosen))):
        tasks[mail_id][method] = state
    labels: dict[int, list[str]] = defaultdict(list)
    texts = select(mail_label.c.mail_id, mail_label.c.text).order_by(mail_label.c.at, mail_label.c.text)
    for mail_id, text in tx.execute(texts.where(mail_label.c.mail_id.in_(chosen))):
        labels[mail_id].append(text)
    rows = _rows(tx, _MAILS.where(which))
    return [row | {"tasks": tasks[row["id"]], "labels": labels[row["id"]]} for row in rows]


def forms(database: Database, limit: int) -> list[View]:
    """Incoming message forms, each with its mission's number and the ids of its mails."""
    query = (
        select(
            message_form.c.id,
            message_form.c.register_no.label("number"),
            mission.c.number.label("mission"),
            message_form.c.state,
            message_form.c.priority,
            message_form.c.subject,
            message_form.c.received_at.label("received"),
        )
        .outerjoin(mission, mission.c.id == message_form.c.mission_id)
        .order_by(message_form.c.id.desc())
        .limit(limit)
    )
    with database.read() as tx:
        found = _rows(tx, query)
        ids = [row["id"] for row in found]
        sources: dict[int, list[int]] = defaultdict(list)
        pairs = select(form_source.c.form_id, form_source.c.mail_id).order_by(form_source.c.mail_id)
        if ids:
            pairs = pairs.where(form_source.c.form_id.between(min(ids), max(ids)))
        for form_id, mail_id in tx.execute(pairs):
            sources[form_id].append(mail_id)
    return [row | {"mails": sources[row["id"]]} for row in found]


def missions(database: Database, limit: int) -> list[View]:
    """Missions; `folder` is how many files their folders hold."""
    count = select(func.count()).where(folder_item.c.mission_id == mission.c.id).scalar_subquery()
    query = select(
        mission.c.id,
        mission.c.number,
        mission.c.keyword,
        mission.c.title,
        mission.c.address,
        mission.c.state,
        mission.c.opened_at.label("opened"),
        count.label("folder"),
    )
    with database.read() as tx:
        return _rows(tx, query.order_by(mission.c.id.desc()).limit(limit))


def notices(database: Database, limit: int) -> list[View]:
    """Notices, the one that was renewed last first."""
    query = select(
        notice.c.level,
        notice.c.wished_level,
        notice.c.audience,
        notice.c.name,
        notice.c.text,
        notice.c.updates,
        notice.c.at,
    )
    with database.read() as tx:
        return _rows(tx, query.order_by(notice.c.at.desc(), notice.c.id.desc()).limit(limit))


def outbox(database: Database, limit: int) -> list[View]:
    """Acts; `next` is None when there is no further try."""
    query = select(
        act.c.id,
        act.c.lane,
        act.c.state,
        act.c.payload,
        act.c.tries,
        act.c.next_at,
        act.c.error,
    )
    with database.read() as tx:
        return [_act(row) for row in _rows(tx, query.order_by(act.c.id.desc()).limit(limit))]


def _act(row: View) -> View:
    payload, due = row.pop("payload"), row.pop("next_at")
    return {
        "id": row["id"],
        "lane": row["lane"],
        "state": row["state"],
        "to": payload.get("to", []) + payload.get("cc", []),
        "subject": payload.get("subject", ""),
        "tries": row["tries"],
        "next": due if row["state"] == "pending" and due != AT_ONCE else None,
        "error": row["error"],
    }


def quarantine(database: Database, limit: int) -> list[View]:
    """Tasks that were given up, with the line of the script in which the last try ended, if it is known."""
    last = select(run.c.trouble).where(run.c.task_id == task.c.id).order_by(run.c.id.desc()).limit(1)
    query = (
        select(
            task.c.mail_id.label("mail"),
            task.c.account,
            task.c.method,
            task.c.attempts,
            task.c.reason,
            last.scalar_subquery().label("line"),
            reading.c.sender.label("from"),
            reading.c.subject,
        )
        .outerjoin(reading, reading.c.mail_id == task.c.mail_id)
        .where(_QUARANTINED)
        .order_by(task.c.finished_at.desc(), task.c.id.desc())
        .limit(limit)
    )
    with database.read() as tx:
        return [row | {"line": _line(row["line"])} for row in _rows(tx, query)]


def _line(trouble: View | None) -> int | None:
    return trouble_of(trouble).line if trouble else None


def trouble_of(recorded: View) -> Trouble:
    """A run's trouble, as it was recorded."""
    frames: list[tuple[int, str]] = recorded["frames"]
    return Trouble(recorded["type"], recorded["text"], tuple((line, function) for line, function in frames))


# ---------------------------------------------------------------- one mail whole


def one_mail(database: Database, mail_id: int) -> View | None:
    """A mail as in `mails`, and all that is known about it; None when there is no such mail.

    `tasks` is a list here, each task with its `runs` (effects as plain data, as they were recorded), oldest first;
    `applied` are the effects that were carried out.
    """
    more = select(
        mail.c.sha256,
        mail.c.cut,
        mail.c.possible_duplicate_of,
        mail.c.settled_by,
        mail.c.settled_at,
        reading.c.date,
        reading.c.message_id,
    ).outerjoin(reading, reading.c.mail_id == mail.c.id)
    with database.read() as tx:
        found = _mails(tx, mail.c.id == mail_id)
        if not found:
            return None
        extra = _rows(tx, more.where(mail.c.id == mail_id))[0]
        return found[0] | extra | {"tasks": _tasks(tx, mail_id), "applied": _applied(tx, mail_id)}


def _tasks(tx: Connection, mail_id: int) -> list[View]:
    tasks = select(
        task.c.id,
        task.c.method,
        task.c.state,
        task.c.attempts,
        task.c.exit,
        task.c.reason,
        task.c.not_before,
        task.c.finished_at.label("finished"),
    )
    found = _rows(tx, tasks.where(task.c.mail_id == mail_id).order_by(task.c.id))
    for one in found:
        not_before = one.pop("not_before")
        one["next"] = not_before if one["state"] == "waiting" and not_before > AFTER_FRESH else None
        one["runs"] = _runs(tx, one.pop("id"))
    return found


def whereabouts(database: Database, mail_id: int) -> View:
    """Where a mail lies on its server, and how much of it is here; `purged_at`: nothing any more, since then."""
    query = (
        select(
            mailbox.c.protocol,
            mailbox.c.host,
            mailbox.c.user,
            mailbox.c.folder,
            mail.c.server_key.label("key"),
            mail.c.settled_by,
            mail.c.size,
            mail.c.blob_id,
            mail.c.purged_at,
        )
        .join(mailbox, mailbox.c.id == mail.c.mailbox_id)
        .where(mail.c.id == mail_id)
    )
    with database.read() as tx:
        return _rows(tx, query)[0]


def entries(database: Database, task_id: int) -> list[View]:
    """What people and changed scripts did with a task, oldest first."""
    query = select(task_entry.c.kind, task_entry.c.by, task_entry.c.at, task_entry.c.why)
    with database.read() as tx:
        return _rows(tx, query.where(task_entry.c.task_id == task_id).order_by(task_entry.c.id))


def _runs(tx: Connection, task_id: int) -> list[View]:
    query = select(
        run.c.id,
        run.c.attempt,
        run.c.by,
        run.c.now,
        run.c.exit,
        run.c.log,
        run.c.effects,
        run.c.trouble,
        run.c.conflicts,
        run.c.cpu_ms,
        run.c.script_sha256,
    )
    return _rows(tx, query.where(run.c.task_id == task_id).order_by(run.c.id))


def _applied(tx: Connection, mail_id: int) -> list[View]:
    columns = (applied_effect.c.effect, applied_effect.c.words, applied_effect.c.target)
    query = select(*columns, applied_effect.c.by, applied_effect.c.at)
    return _rows(tx, query.where(applied_effect.c.mail_id == mail_id).order_by(applied_effect.c.id))


# ---------------------------------------------------------------- how it goes


def mailboxes(database: Database) -> list[View]:
    """Every mailbox that was ever watched, and how its last round trips went."""
    query = select(
        mailbox.c.protocol,
        mailbox.c.host,
        mailbox.c.user,
        mailbox.c.folder,
        mailbox.c.last_ok_at.label("last_ok"),
        mailbox.c.next_poll_at.label("next_poll"),
        mailbox.c.error,
    )
    with database.read() as tx:
        return _rows(tx, query.order_by(mailbox.c.id))


def mails_by_state(database: Database) -> dict[str, dict[str, int]]:
    """Account → state → number of mails."""
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    query = select(mail.c.account, mail.c.state, func.count()).group_by(mail.c.account, mail.c.state)
    with database.read() as tx:
        for account, state, count in tx.execute(query):
            counts[account][state] = count
    return dict(counts)


def quarantined_by_account(database: Database) -> dict[str, int]:
    """Account → number of tasks in quarantine."""
    query = select(task.c.account, func.count()).where(_QUARANTINED).group_by(task.c.account)
    with database.read() as tx:
        return {row[0]: row[1] for row in tx.execute(query)}


def acts_by_state(database: Database) -> dict[str, int]:
    """State → number of acts in the outbox."""
    query = select(act.c.state, func.count()).group_by(act.c.state)
    with database.read() as tx:
        return {row[0]: row[1] for row in tx.execute(query)}


def _rows(tx: Connection, query: Executable) -> list[View]:
    return [dict(row) for row in tx.execute(query).mappings()]
