"""What a changed script may heal: tasks that an older version of it has left in quarantine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select, type_coerce, update

from revscript.store.columns import Time
from revscript.store.database import Database
from revscript.store.ledger import AFTER_FRESH
from revscript.store.quarantine import Held, held_of, rerun_one, tasks_query
from revscript.store.recovery import MOST_INTERRUPTIONS
from revscript.store.schema import mail, reading, run, script_text, task, task_entry

# How the task's last run went, and what was last done with it by a person or by us.
_runs, _entries = run.alias(), task_entry.alias()
_run_of_task = select(func.max(_runs.c.id)).where(_runs.c.task_id == task.c.id).correlate(task).scalar_subquery()
_entry_of_task = (
    select(func.max(_entries.c.id)).where(_entries.c.task_id == task.c.id).correlate(task).scalar_subquery()
)


@dataclass(frozen=True, slots=True)
class Healed:
    """A task that was run again because its script had changed."""

    id: int
    mail_id: int
    account: str
    state: str
    due: bool  # it waits for nothing but its turn
    script_sha256: str | None  # of its last run
    reason: str


class Healable:
    """The store's side of self-healing. `accounts` are those that run the script."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def next(self, account: str, script: str, sha256: str, since: datetime, *, by_reception: bool) -> Held | None:
        """The oldest of an account's mails that is not older than `since`, on which another version has failed.

        By the mail's own date, as far as it is plausible, or by its reception. None of those that the host did not
        survive: that is not mended by another script.
        """
        dated = func.coalesce(func.min(reading.c.date, mail.c.received_at), mail.c.received_at)
        date = mail.c.received_at if by_reception else type_coerce(dated, Time)
        query = _failed([account], script, sha256).where(date >= since).order_by(task.c.mail_id).limit(1)
        with self._database.read() as tx:
            row = tx.execute(query).one_or_none()
        return held_of(row) if row else None

    def count(self, accounts: Sequence[str], script: str, sha256: str) -> int:
        """How many tasks another version has left in quarantine, whatever their age."""
        query = select(func.count()).select_from(_failed(accounts, script, sha256).subquery())
        with self._database.read() as tx:
            return tx.scalar(query) or 0

    def healed(self, accounts: Sequence[str], script: str, sha256: str, now: datetime) -> list[Healed]:
        """Tasks that this version of the script has made run again, and that nobody has touched after that."""
        columns = (task.c.id, task.c.mail_id, task.c.account, task.c.state, task.c.not_before <= now)
        query = (  # begins at the entries, which an index finds: the engine asks this after each mail while it heals
            select(*columns, run.c.script_sha256, task.c.reason)
            .select_from(task_entry)
            .join(task, (task.c.id == task_entry.c.task_id) & (task_entry.c.id == _entry_of_task))
            .outerjoin(run, run.c.id == _run_of_task)
            .where(task_entry.c.kind == "healed", task_entry.c.by == reload_of(script))
            .where(task_entry.c.why == _changed(sha256), task.c.account.in_(accounts))
        )
        with self._database.read() as tx:
            return [Healed(*row) for row in tx.execute(query.order_by(task.c.id)).all()]

    def heal(self, one: Held, script: str, sha256: str, now: datetime) -> bool:
        """Let a task run again with the script in force → whether it still was in quarantine."""
        with self._database.write() as tx:
            return rerun_one(tx, one, "healed", reload_of(script), _changed(sha256), now, same=False)

    def hurry(self, accounts: Sequence[str], sha256: str) -> int:
        """What waits for its next try with a version that has failed is due at once with this one → how many."""
        failed = (
            select(task.c.id)
            .select_from(task)
            .outerjoin(run, run.c.id == _run_of_task)
            .where(task.c.state == "waiting", task.c.method == "script", task.c.account.in_(accounts))
            .where(task.c.attempts > 0, task.c.script_sha256.is_(None))
            .where(run.c.script_sha256.is_(None) | (run.c.script_sha256 != sha256))
        )
        with self._database.read() as tx:
            ids = list(tx.scalars(failed))
        if not ids:
            return 0
        with self._database.write() as tx:
            for task_id in ids:
                waits = update(task).where(task.c.id == task_id, task.c.state == "waiting")
                tx.execute(waits.values(not_before=AFTER_FRESH))
        return len(ids)


def _failed(accounts: Sequence[str], script: str, sha256: str) -> Select[*tuple[Any, ...]]:
    ran = (run.c.by == f"script:{script}") | (~run.c.by.startswith("script:") & (script_text.c.name == script))
    other = run.c.script_sha256.is_(None) | (run.c.script_sha256 != sha256)
    return tasks_query().where(
        task.c.state == "quarantined",
        task.c.method == "script",
        task.c.account.in_(accounts),
        task.c.interruptions < MOST_INTERRUPTIONS,
        ran & other,
    )


def reload_of(script: str) -> str:
    """Who heals, as entries name it."""
    return f"reload:{script}"


def _changed(sha256: str) -> str:
    return f"the script has changed: {sha256[:12]}"
