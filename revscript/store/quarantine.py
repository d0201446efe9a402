"""People's work on tasks: what was given up is run again or discarded, what is done is repeated.

Each change is one transaction with an entry (`task_entry`: who, when, why); the problem that spoke of the task goes
with it. A host that runs beside notices the commit and takes up what waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, Row, Select, delete, func, select, update

from revscript.model import METHODS, Method, Trouble
from revscript.store.database import Database
from revscript.store.ledger import AFTER_FRESH, add_entry, finish_mail
from revscript.store.schema import applied_effect, mail, problem, reading, run, script_text, task, task_entry
from revscript.store.views import trouble_of

_Select = Select[*tuple[Any, ...]]
Kind = Literal["rerun", "healed"]

_runs = run.alias()
_last_run = select(func.max(_runs.c.id)).where(_runs.c.task_id == task.c.id).correlate(task).scalar_subquery()
_COLUMNS = (
    task.c.id,
    task.c.mail_id,
    task.c.account,
    task.c.method,
    task.c.state,
    task.c.attempts,
    task.c.interruptions,
    task.c.reason,
    task.c.finished_at,
    run.c.by,
    run.c.script_sha256,
    run.c.trouble,
    script_text.c.name,
    mail.c.received_at,
    mail.c.purged_at,
    reading.c.date,
    reading.c.sender,
    reading.c.subject,
)


@dataclass(frozen=True, slots=True)
class Which:
    """A choice of tasks; what is None does not narrow it."""

    mail_id: int | None = None
    method: Method | None = None
    script: str | None = None
    account: str | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A task as people see it.

    `script`, `script_sha256` and `trouble` are of its last run; None where it ran none.
    `sender` and `subject` are None while the mail has not been read.
    """

    id: int
    mail_id: int
    account: str
    method: Method
    state: str
    attempts: int
    interruptions: int
    reason: str
    finished_at: datetime | None
    script: str | None
    script_sha256: str | None
    received_at: datetime
    purged_at: datetime | None
    date: datetime  # of the mail: its own, never later than its reception
    trouble: Trouble | None
    sender: str | None
    subject: str | None


class Done(NamedTuple):
    """An effect that was carried out: in words, and the record it made or changed."""

    words: str
    target: str
    task_id: int


class Entry(NamedTuple):
    """A person's work on a task."""

    id: int
    kind: str
    by: str
    why: str
    task_id: int
    mail_id: int


class Quarantine:
    """Tasks that wait for a person, and what a person does with tasks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def held(self, which: Which) -> list[Held]:
        """Tasks in quarantine, in the order in which their mails came."""
        return self._find(tasks_query().where(task.c.state == "quarantined"), which)

    def tasks(self, which: Which) -> list[Held]:
        """Tasks in whatever state."""
        return self._find(tasks_query(), which)

    def _find(self, query: _Select, which: Which) -> list[Held]:
        for column, value in ((task.c.mail_id, which.mail_id), (task.c.account, which.account)):
            query = query if value is None else query.where(column == value)
        with self._database.read() as tx:
            found = [held_of(row) for row in tx.execute(query.order_by(task.c.mail_id)).all()]
        return [
            one
            for one in sorted(found, key=lambda one: (one.mail_id, METHODS.index(one.method)))
            if which.method in (None, one.method) and which.script in (None, one.script)
        ]

    def last_log(self, one: Held) -> list[str]:
        """What the script logged in the task's last run."""
        query = select(run.c.log).where(run.c.task_id == one.id).order_by(run.c.id.desc()).limit(1)
        with self._database.read() as tx:
            return list(tx.scalar(query) or ())

    def knows_mail(self, mail_id: int) -> bool:
        """Whether there is such a mail."""
        with self._database.read() as tx:
            return tx.scalar(select(mail.c.id).where(mail.c.id == mail_id)) is not None

    def rerun(self, which: Sequence[Held], *, same: bool, by: str, why: str, now: datetime) -> list[Held]:
        """Run quarantined tasks again, attempts counted from the start → those that still were in quarantine.

        `same`: with the script version of the last run, else with the one in force. What is there already is not done
        again: the effects keep their keys.
        """
        with self._database.write() as tx:
            return [one for one in which if rerun_one(tx, one, "rerun", by, why, now, same=same)]

    def discard(self, which: Sequence[Held], *, by: str, why: str, now: datetime) -> list[Held]:
        """Give quarantined tasks up for good → those that still were in quarantine. Their mails may be done with it."""
        discarded: list[Held] = []
        with self._database.write() as tx:
            for one in which:
                if _leave_quarantine(tx, one.id, state="discarded", reason=why, finished_at=now):
                    add_entry(tx, one.id, "discarded", by, now, why)
                    finish_mail(tx, one.mail_id)
                    discarded.append(one)
        return discarded

    def repeat(self, which: Sequence[Held], *, same: bool, by: str, why: str, now: datetime) -> list[Held]:
        """Do finished tasks once more: their effects are new ones, and the mail is settled anew → those it began.

        A mail whose raw text was removed is left alone.
        """
        repeated: list[Held] = []
        with self._database.write() as tx:
            for one in which:
                begun = _again(one, same=same) | {"generation": task.c.generation + 1}
                kept = select(mail.c.id).where(mail.c.id == one.mail_id, mail.c.purged_at.is_(None))
                done = update(task).where(task.c.id == one.id, task.c.state.in_(("done", "discarded")), kept.exists())
                if tx.execute(done.values(**begun)).rowcount:
                    add_entry(tx, one.id, "rerun", by, now, why)
                    _reopen(tx, one.mail_id)
                    repeated.append(one)
        return repeated

    def carried_out(self, which: Sequence[Held]) -> list[Done]:
        """What these tasks have done, oldest first."""
        columns = (applied_effect.c.words, applied_effect.c.target, run.c.task_id)
        query = select(*columns).join(run, run.c.id == applied_effect.c.run_id)
        query = query.where(run.c.task_id.in_([one.id for one in which])).order_by(applied_effect.c.id)
        with self._database.read() as tx:
            return [Done(*row) for row in tx.execute(query).all()]

    def entries_after(self, entry_id: int | None, kinds: Iterable[str] = ("rerun", "discarded")) -> list[Entry]:
        """People's work since an entry, oldest first; with None the last one alone, if there is any."""
        columns = (task_entry.c.id, task_entry.c.kind, task_entry.c.by, task_entry.c.why, task.c.id, task.c.mail_id)
        query = select(*columns).join(task, task.c.id == task_entry.c.task_id).where(task_entry.c.kind.in_(kinds))
        if entry_id is None:
            query = query.order_by(task_entry.c.id.desc()).limit(1)
        else:
            query = query.where(task_entry.c.id > entry_id).order_by(task_entry.c.id)
        with self._database.read() as tx:
            return [Entry(*row) for row in tx.execute(query).all()]


def tasks_query() -> _Select:
    """Tasks with their mails and last runs, for `held_of`."""
    return (
        select(*_COLUMNS)
        .select_from(task)
        .join(mail, mail.c.id == task.c.mail_id)
        .outerjoin(reading, reading.c.mail_id == task.c.mail_id)
        .outerjoin(run, run.c.id == _last_run)
        .outerjoin(script_text, script_text.c.sha256 == run.c.script_sha256)
    )


def held_of(row: Row[Any]) -> Held:
    """A row of `tasks_query`."""
    by = row.by or ""
    return Held(
        id=row.id,
        mail_id=row.mail_id,
        account=row.account,
        method=row.method,
        state=row.state,
        attempts=row.attempts,
        interruptions=row.interruptions,
        reason=row.reason,
        finished_at=row.finished_at,
        script=by.partition(":")[2] if by.startswith("script:") else row.name,
        script_sha256=row.script_sha256,
        received_at=row.received_at,
        purged_at=row.purged_at,
        date=min(row.date, row.received_at) if row.date else row.received_at,
        trouble=trouble_of(row.trouble) if row.trouble else None,
        sender=row.sender,
        subject=row.subject,
    )


def rerun_one(tx: Connection, one: Held, kind: Kind, by: str, why: str, now: datetime, *, same: bool) -> bool:
    """Let a quarantined task run again, inside a transaction → whether it still was in quarantine."""
    if not _leave_quarantine(tx, one.id, **_again(one, same=same)):
        return False
    add_entry(tx, one.id, kind, by, now, why)
    return True


def _again(one: Held, *, same: bool) -> dict[str, Any]:
    return {
        "state": "waiting",
        "attempts": 0,
        "interruptions": 0,
        "not_before": AFTER_FRESH,
        "reason": "",
        "finished_at": None,
        "script_sha256": one.script_sha256 if same else None,
    }


def _leave_quarantine(tx: Connection, task_id: int, **values: Any) -> bool:
    held = update(task).where(task.c.id == task_id, task.c.state == "quarantined")
    if not tx.execute(held.values(**values)).rowcount:
        return False
    tx.execute(delete(problem).where(problem.c.key == quarantine_key(task_id)))
    return True


def _reopen(tx: Connection, mail_id: int) -> None:
    was_read = tx.scalar(select(reading.c.mail_id).where(reading.c.mail_id == mail_id)) is not None
    values = {"state": "read" if was_read else "received", "settle": "waiting", "settled_at": None, "settled_by": None}
    tx.execute(update(mail).where(mail.c.id == mail_id).values(**values))


def quarantine_key(task_id: int) -> str:
    """The key of the problem that speaks of a task."""
    return f"quarantine:{task_id}"
