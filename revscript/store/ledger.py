"""Tasks and runs: what is to be done with each mail, what was tried, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, bindparam, case, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from revscript.jail.plain import to_plain
from revscript.jail.reading.model import Reading
from revscript.model import AT_ONCE, METHODS, Method, Outcome, canonical_json
from revscript.snapshot import Script
from revscript.store.blobs import BlobMissing, Blobs
from revscript.store.database import Database, inserted
from revscript.store.record_tables import mail_label
from revscript.store.schema import mail, reading, run, script_text, task, task_entry

LEASE = timedelta(minutes=10)  # longer than any try; the owner's restart frees its tasks at once
# At once, but after the mails that have not been tried yet: an old one never holds up a new alarm.
AFTER_FRESH = AT_ONCE + timedelta(days=1)

_reading: TypeAdapter[Reading] = TypeAdapter(Reading)
_method_order = case({method: place for place, method in enumerate(METHODS)}, value=task.c.method)

# Built once: on the way of every mail, building a statement takes longer than running it.
_mail = select(
    mail.c.id,
    mail.c.account,
    mail.c.state,
    mail.c.blob_id,
    mail.c.size,
    mail.c.cut,
    mail.c.received_at,
    mail.c.possible_duplicate_of,
).where(mail.c.id == bindparam("mail_id"))
_reading_blob = select(reading.c.blob_id).where(reading.c.mail_id == bindparam("mail_id"))
_mail_was_read = update(mail).where(mail.c.id == bindparam("mail_id"), mail.c.state == "received").values(state="read")
_mail_is_done = update(mail).where(mail.c.id == bindparam("mail_id")).values(state="done")
_is_due = (task.c.not_before <= bindparam("now")) | (task.c.not_before > bindparam("horizon"))
_fresh = func.max(task.c.not_before == AT_ONCE)
_accounts_with_work = select(task.c.account).where(task.c.state == "waiting", _is_due).distinct()
_mails_with_work = (
    select(task.c.mail_id, _fresh)
    .where(task.c.state == "waiting", task.c.account == bindparam("account"), _is_due)
    .group_by(task.c.mail_id)
    .order_by(_fresh.desc(), task.c.mail_id)
    .limit(bindparam("limit"))
)
_unread = select(mail.c.id).where(mail.c.state == "received").order_by(mail.c.id).limit(bindparam("limit"))
_next_due = select(func.min(task.c.not_before)).where(task.c.state == "waiting", task.c.not_before > bindparam("now"))
_due_tasks = (
    select(task.c.id)
    .where(task.c.mail_id == bindparam("mail_id"), task.c.state == "waiting", _is_due)
    .order_by(_method_order)
)
_open_task = (
    select(task.c.id).where(task.c.mail_id == bindparam("mail_id"), task.c.state.not_in(("done", "discarded"))).limit(1)
)
TASK_COLUMNS = (
    task.c.id,
    task.c.mail_id,
    task.c.account,
    task.c.method,
    task.c.attempts,
    task.c.generation,
    task.c.script_sha256,
)
_claim = (
    update(task)
    .where(task.c.id == bindparam("task_id"), task.c.state == "waiting")
    .values(
        state="running",
        attempts=task.c.attempts + 1,
        owner=bindparam("by"),
        lease_until=bindparam("until"),
    )
    .returning(*TASK_COLUMNS)
)
_finish = (
    update(task)
    .where(task.c.id == bindparam("task_id"))
    .values(state="done", exit=bindparam("word"), reason="", finished_at=bindparam("now"), owner=None, lease_until=None)
)


class Due(NamedTuple):
    """What may be tried: what was to be tried up to `now`, and what is farther off than any pause (`horizon`).

    That happens when the clock was set back meanwhile; nothing may wait for it to get there again.
    """

    now: datetime
    horizon: datetime


@dataclass(frozen=True, slots=True)
class Mail:
    """A received mail."""

    id: int
    account: str
    state: str
    blob_id: int
    size: int
    cut: bool
    received_at: datetime
    possible_duplicate_of: int | None  # an earlier mail with the same bytes


@dataclass(frozen=True, slots=True)
class Task:
    """One method's work on one mail; `attempts` counts the present try too.

    `script_sha256` is the recorded script version that it must run with; None: the one in force.
    """

    id: int
    mail_id: int
    account: str
    method: Method
    attempts: int
    generation: int
    script_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One try, for trace, replay and audit. `script` is what it ran, stored once per hash."""

    task: Task
    outcome: Outcome
    snapshot_sha256: str
    now: datetime
    conflicts: int
    script: Script | None = None


class Ledger:
    """The store's side of the engine."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self.database = database
        self._blobs = blobs

    # ------------------------------------------------------------ what is there to do

    def accounts_with_work(self, due: Due) -> list[str]:
        """Accounts with a task that may run now."""
        with self.database.read() as tx:
            return list(tx.scalars(_accounts_with_work, due._asdict()))

    def mails_with_work(self, account: str, due: Due, limit: int) -> list[int]:
        """An account's mails with a task that may run now, in the order in which they arrived.

        Those that were tried before come only where nothing fresh waits, one at a time: asked again after each of
        them, a fresh mail waits for one run at the most.
        """
        with self.database.read() as tx:
            found = tx.execute(_mails_with_work, {"account": account, "limit": limit, **due._asdict()}).all()
        fresh = [mail_id for mail_id, is_fresh in found if is_fresh]
        return fresh or [mail_id for mail_id, _ in found[:1]]

    def unread(self, limit: int) -> list[int]:
        """Mails that the reader has not seen yet, oldest first."""
        with self.database.read() as tx:
            return list(tx.scalars(_unread, {"limit": limit}))

    def next_due(self, now: datetime) -> datetime | None:
        """When the next waiting task may run that may not run now."""
        with self.database.read() as tx:
            return tx.scalar(_next_due, {"now": now})

    def mail(self, mail_id: int) -> Mail:
        """A mail's row."""
        with self.database.read() as tx:
            return Mail(*tx.execute(_mail, {"mail_id": mail_id}).one())

    # ------------------------------------------------------------ reading

    def store_reading(self, mail_id: int, read: Reading, now: datetime, *, anew: bool = False) -> None:
        """Keep what the jail read; the mail is `read` now. A second reading is dropped, unless it is `anew`."""
        staged = self._blobs.stage([canonical_json(to_plain(read)).encode()])
        with self.database.write() as tx:
            values = {
                "mail_id": mail_id,
                "version": read.version,
                "fallback": read.fallback,
                "blob_id": self._blobs.keep(tx, staged, now),
                "subject": read.subject,
                "sender": read.sender.address if read.sender else "",
                "date": datetime.fromisoformat(read.date) if read.date else None,
                "message_id": read.message_id,
                "created_at": now,
            }
            if anew:
                tx.execute(update(reading).where(reading.c.mail_id == mail_id).values(**values))
            tx.execute(upsert(reading).on_conflict_do_nothing(), values)
            tx.execute(_mail_was_read, {"mail_id": mail_id})

    def reading(self, mail_id: int) -> Reading:
        """The stored Reading; BlobMissing where it is damaged or not there: the mail can be read again."""
        with self.database.read() as tx:
            blob_id = tx.execute(_reading_blob, {"mail_id": mail_id}).scalar_one_or_none()
        if blob_id is None:
            raise BlobMissing(f"There is no reading of mail {mail_id}.")
        try:
            return _reading.validate_json(self._blobs.content(blob_id), strict=True)
        except ValidationError:
            raise BlobMissing(f"The stored reading of mail {mail_id} is damaged.") from None

    # ------------------------------------------------------------ trying

    def due_tasks(self, mail_id: int, due: Due) -> list[int]:
        """A mail's tasks that may run now, the script first."""
        with self.database.read() as tx:
            return list(tx.scalars(_due_tasks, {"mail_id": mail_id, **due._asdict()}))

    def claim(self, task_id: int, now: datetime) -> Task | None:
        """Begin a try: it is counted before it starts. None when somebody else was faster."""
        with self.database.write() as tx:
            ours = {"task_id": task_id, "by": self.database.instance_id, "until": now + LEASE}
            claimed = tx.execute(_claim, ours).one_or_none()
        return Task(*claimed) if claimed else None

    def uncount(self, claimed: Task) -> None:
        """The try did not happen (clean stop, broken jail): it is due again, uncounted."""
        with self.database.write() as tx:
            tx.execute(
                update(task)
                .where(task.c.id == claimed.id, task.c.state == "running")
                .values(
                    state="waiting",
                    attempts=task.c.attempts - 1,
                    owner=None,
                    lease_until=None,
                    not_before=AT_ONCE,
                )
            )

    def set_aside(self, mail_id: int, reason: str, now: datetime) -> list[Task]:
        """Quarantine all that waits of a mail that cannot even be loaded → these tasks."""
        away = update(task).where(task.c.mail_id == mail_id, task.c.state == "waiting")
        values = {"state": "quarantined", "exit": "failed", "reason": reason, "finished_at": now}
        with self.database.write() as tx:
            return [Task(*row) for row in tx.execute(away.values(**values).returning(*TASK_COLUMNS))]

    def ignore(self, mail_id: int, label: str, now: datetime) -> bool:
        """Nothing is run for a mail of our own: what waits is done, with a label → whether the mail is done."""
        done = update(task).where(task.c.mail_id == mail_id, task.c.state == "waiting")
        with self.database.write() as tx:
            tx.execute(done.values(state="done", exit="ignored", reason="", finished_at=now))
            values = {"mail_id": mail_id, "text": label, "by": "host", "at": now}
            tx.execute(upsert(mail_label).on_conflict_do_nothing(), values)
            return finish_mail(tx, mail_id)

    def script(self, sha256: str) -> Script | None:
        """A script as it was recorded, with its libraries and tables."""
        columns = (script_text.c.name, script_text.c.text, script_text.c.libraries, script_text.c.tables)
        with self.database.read() as tx:
            row = tx.execute(select(*columns).where(script_text.c.sha256 == sha256)).one_or_none()
        return Script(row.name, row.text, sha256, row.libraries, row.tables) if row else None

    def record_failure(self, record: RunRecord, next_try: datetime | None) -> None:
        """A try failed: it waits for the next one, or is quarantined for a person."""
        with self.database.write() as tx:
            self.record_run(tx, record)
            values: dict[str, Any] = {"state": "waiting", "not_before": next_try}
            if next_try is None:
                values = {"state": "quarantined", "finished_at": record.now}
            reason = str(record.outcome.trouble or record.outcome.exit)
            tx.execute(
                update(task)
                .where(task.c.id == record.task.id)
                .values(**values, owner=None, lease_until=None, exit=record.outcome.exit, reason=reason)
            )

    # ------------------------------------------------------------ inside the commit

    def record_run(self, tx: Connection, record: RunRecord) -> int:
        """Write the run record → its id."""
        outcome, script = record.outcome, record.script
        if script is not None:
            whole = {
                "sha256": script.sha256,
                "name": script.name,
                "text": script.text,
                "libraries": dict(script.libraries),
                "tables": dict(script.tables),
            }
            tx.execute(upsert(script_text).on_conflict_do_nothing(), whole)
        values = {
            "task_id": record.task.id,
            "attempt": record.task.attempts,
            "by": outcome.by,
            "script_sha256": script.sha256 if script else None,
            "snapshot_sha256": record.snapshot_sha256,
            "now": record.now,
            "exit": outcome.exit,
            "asked": [{"question": one.question, "answer": one.answer} for one in outcome.asked],
            "effects": [to_plain(effect) for effect in outcome.effects],
            "log": list(outcome.log),
            "trouble": _plain_trouble(outcome),
            "cpu_ms": outcome.cpu_ms,
            "conflicts": record.conflicts,
            "finished_at": record.now,
        }
        return inserted(tx.execute(insert(run), values))

    def finish(self, tx: Connection, finished: Task, exit_word: str, now: datetime) -> bool:
        """The task is done → whether with it the whole mail is."""
        tx.execute(_finish, {"task_id": finished.id, "word": exit_word, "now": now})
        return finish_mail(tx, finished.mail_id)


def add_entry(tx: Connection, task_id: int, kind: str, by: str, now: datetime, why: str) -> None:
    """Write down what was done with a task beside its runs, and by whom (schema `task_entry`)."""
    tx.execute(insert(task_entry), {"task_id": task_id, "kind": kind, "by": by, "at": now, "why": why})


def finish_mail(tx: Connection, mail_id: int) -> bool:
    """Mark a mail `done` when all its tasks are done or discarded → whether they are."""
    if tx.execute(_open_task, {"mail_id": mail_id}).first():
        return False
    tx.execute(_mail_is_done, {"mail_id": mail_id})
    return True


def _plain_trouble(outcome: Outcome) -> dict[str, Any] | None:
    trouble = outcome.trouble
    if trouble is None:
        return None
    frames: Sequence[tuple[int, str]] = trouble.frames
    return {"type": trouble.type, "text": trouble.text, "frames": [list(frame) for frame in frames]}
