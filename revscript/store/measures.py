"""How it goes, in numbers: the counting questions behind the metrics and `revscript status`.

What is asked on each scrape must stay cheap when the store has grown for years: finished things are counted once and
then only as they come in (`Tally`); what is unfinished is found by an index.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Executable, case, func, select

from revscript.config import Mailbox
from revscript.store.database import Database
from revscript.store.schema import act, canary, mail, mailbox, run, task


@dataclass(frozen=True, slots=True)
class Box:
    """How a mailbox does. `mode`: push, poll, down; empty when it has not been watched yet."""

    mode: str
    last_ok: datetime | None
    next_poll: datetime | None
    mail_at: datetime | None
    read_by_others: int
    error: str


@dataclass(frozen=True, slots=True)
class Flight:
    """A canary's last flight that ended well."""

    sent_at: datetime
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Standings:
    """What waits for somebody, by account where that is known. `oldest_work` is when that mail was received."""

    unfinished: Mapping[tuple[str, str], int]  # (account, mail state) → mails
    oldest_work: Mapping[str, datetime]  # of mails with a task that waits or runs
    quarantined: Mapping[str, int]  # tasks
    acts: Mapping[str, int]  # by state
    oldest_pending: datetime | None  # when that act was wished


def boxes(database: Database) -> dict[Mailbox, Box]:
    """Every mailbox that was ever watched."""
    with database.read() as tx:
        return _boxes(tx)


def _boxes(tx: Connection) -> dict[Mailbox, Box]:
    key = (mailbox.c.protocol, mailbox.c.host, mailbox.c.user, mailbox.c.folder)
    health = (mailbox.c.last_ok_at, mailbox.c.next_poll_at, mailbox.c.mail_at)
    query = select(*key, mailbox.c.mode, *health, mailbox.c.read_by_others, mailbox.c.error)
    return {Mailbox(*row[:4]): Box(*row[4:]) for row in tx.execute(query)}


def standings(database: Database) -> Standings:
    """What waits, in one consistent view."""
    unfinished = (
        select(mail.c.account, mail.c.state, func.count())
        .where(mail.c.state.in_(("received", "read")))
        .group_by(mail.c.account, mail.c.state)
    )
    oldest = (
        select(mail.c.account, func.min(mail.c.received_at))
        .join(task, task.c.mail_id == mail.c.id)
        .where(task.c.state.in_(("waiting", "running")))
        .group_by(mail.c.account)
    )
    held = select(task.c.account, func.count()).where(task.c.state == "quarantined").group_by(task.c.account)
    acts = select(act.c.state, func.count()).group_by(act.c.state)
    pending = select(func.min(act.c.created_at)).where(act.c.state == "pending")
    with database.read() as tx:
        return Standings(
            unfinished={(account, state): count for account, state, count in tx.execute(unfinished)},
            oldest_work=_pairs(tx, oldest),
            quarantined=_pairs(tx, held),
            acts=_pairs(tx, acts),
            oldest_pending=tx.scalar(pending),
        )


def flights(database: Database, accounts: Iterable[str]) -> dict[str, Flight]:
    """The last canary of each account that came back."""
    found: dict[str, Flight] = {}
    with database.read() as tx:
        for account in accounts:
            query = select(canary.c.sent_at, canary.c.seen_at).order_by(canary.c.sent_at.desc()).limit(1)
            row = tx.execute(query.where(canary.c.account == account, canary.c.seen_at.is_not(None))).one_or_none()
            if row is not None:
                found[account] = Flight(*row)
    return found


def mails_by_state(database: Database) -> dict[str, dict[str, int]]:
    """Account → state → mails that were ever received. Goes through all of them: not for every scrape."""
    query = select(mail.c.account, mail.c.state, func.count()).group_by(mail.c.account, mail.c.state)
    counts: dict[str, dict[str, int]] = {}
    with database.read() as tx:
        for account, state, count in tx.execute(query):
            counts.setdefault(account, {})[state] = count
    return counts


def unhandled(database: Database, since: datetime) -> dict[str, int]:
    """Account → mails received since then of which its script made nothing. Goes through all tasks."""
    query = (
        select(task.c.account, func.count())
        .join(mail, mail.c.id == task.c.mail_id)
        .where(task.c.method == "script", task.c.exit == "unhandled", mail.c.received_at >= since)
        .group_by(task.c.account)
    )
    with database.read() as tx:
        return _pairs(tx, query)


class Grown(NamedTuple):
    """What came in since the last look: mails by account, runs as (exit, whether a script ran, seconds of CPU time)."""

    mails: Counter[str]
    runs: list[tuple[str, bool, float]]


class Tally:
    """Counts what only grows, each row once: ids rise in the order of the commits. For one thread at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: tuple[int, int] | None = None
        self.mails: Counter[str] = Counter()  # all mails that were ever received, by account

    def look(self) -> Grown:
        """What is new since the last look; nothing the first time."""
        with self._database.read() as tx:
            highest = tuple(tx.scalar(select(func.max(table.c.id))) or 0 for table in (mail, run))
            before = self._seen or highest
            mails = self._mails(tx, before[0] if self._seen else 0)
            grown = Grown(mails if self._seen else Counter(), self._runs(tx, before[1]))
        self.mails.update(mails)
        self._seen = (highest[0], highest[1])
        return grown

    def _mails(self, tx: Connection, after: int) -> Counter[str]:
        query = select(mail.c.account, func.count()).where(mail.c.id > after).group_by(mail.c.account)
        return Counter(_pairs(tx, query))

    def _runs(self, tx: Connection, after: int) -> list[tuple[str, bool, float]]:
        by_script = case((run.c.by.startswith("script:"), 1), else_=0)
        query = select(run.c.exit, by_script, run.c.cpu_ms).where(run.c.id > after)
        return [(word, bool(script), cpu_ms / 1000) for word, script, cpu_ms in tx.execute(query)]


def _pairs(tx: Connection, query: Executable) -> dict[str, Any]:
    return {row[0]: row[1] for row in tx.execute(query)}
