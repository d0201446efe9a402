"""Sources for the test servers, and a store with a watcher on one."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import select, text

from revscript.config import Account, Backoff, Imap, Push
from revscript.health import Problems
from revscript.inbound.imap import ImapSource
from revscript.inbound.source import Source
from revscript.inbound.tools import Tools
from revscript.inbound.watch import Watched, Watcher
from revscript.model import Problem, wall_clock
from revscript.store.bell import Bell
from revscript.store.blobs import Blobs
from revscript.store.database import Database
from revscript.store.intake import Intake
from revscript.store.ledger import Ledger
from revscript.store.schema import mail, mailbox
from tests.instance import due, wait_until
from tests.servers.dovecot import PASSWORD

MB = 1_000_000
TIMEOUT = 0.5  # s
PUSH = Push()

SOON = 0.001  # minutes between looks

Make = Callable[..., ImapSource]


class Server(Protocol):
    """Whatever listens: Dovecot, the proxy, the scripted one."""

    host: str


def imap(
    port: int,
    user: str = "u",
    *,
    ca_file: Path | None = None,
    hard_cap: int = 10 * MB,
    timeout: float = 5.0,
    **more: Any,
) -> ImapSource:
    """A source; `more` goes into the `receiving` block."""
    password = more.pop("password", PASSWORD)
    extra = {name: more.pop(name) for name in ("renew", "ignore_certificate") if name in more}
    settings = Imap.model_validate({"host": "localhost", "port": port, "push": False} | more)
    return ImapSource(settings, settings.folders[0], user, password, ca_file, timeout, timeout, hard_cap, **extra)


def account(receiving: Imap, **more: object) -> Account:
    """The account file around a source."""
    data = {"address": "post@fuest.example", "receiving": receiving.model_dump()} | more
    return Account.model_validate(data, context={"name": "post"})


class Dates:
    """Keeps what servers' dates were reported."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, datetime, datetime]] = []

    def dated(self, source: str, date: datetime, earliest: datetime) -> None:
        """A date of a server."""
        self.seen.append((source, date, earliest))


class Remembering(Problems):
    """Problems of which one can ask whether they ever were."""

    keys: frozenset[str] = frozenset()

    def report(self, problem: Problem) -> None:
        """Raise it."""
        self.keys |= {problem.key}
        super().report(problem)


class Station:
    """A store, and a watcher that receives into it; nobody works on the mails but `finish`."""

    def __init__(self, root: Path, source: ImapSource, *, wrapped: Source | None = None, push: Push = PUSH) -> None:
        self.database = Database(root / "post.db")
        self.blobs = Blobs(self.database)
        self.ledger = Ledger(self.database, self.blobs)
        self.intake = Intake(self.database, self.blobs)
        self.bell = Bell()
        self.problems = Remembering(self.database, wall_clock)
        self.mailbox_id = self.intake.mailbox_id("imap", "localhost", source.username, source.folder)
        self.evidence = Dates()
        self.tools = Tools(self.intake, self.blobs, self.bell, self.problems, wall_clock, self.evidence)
        watched = Watched(
            account=account(source.settings, ignore_server_certificate=source.ignore_certificate),
            receiving=source.settings,
            folder=source.folder,
            mailbox_id=self.mailbox_id,
            methods=("centre",),
            snapshot_sha256="sha",
            push=push,
        )
        self.watcher = Watcher(watched, wrapped or source, self.tools, Backoff(first=0.05, most=0.2))

    def received(self) -> list[bytes]:
        """The raw mails, in the order in which they were received."""
        with self.database.read() as tx:
            ids = list(tx.scalars(select(mail.c.blob_id).order_by(mail.c.id)))
        return [self.blobs.content(blob_id) for blob_id in ids]

    def count(self, where: str = "1") -> int:
        """How many mails the store holds, of which something is true."""
        with self.database.read() as tx:
            return tx.execute(text(f"SELECT count(*) FROM mail WHERE {where}")).scalar_one()

    def finish(self, most: int = 1000) -> None:
        """Do all open tasks, as the engine would, of the oldest mails."""
        now = wall_clock()
        for mail_id in self.ledger.mails_with_work("post", due(now), most):
            for task_id in self.ledger.due_tasks(mail_id, due(now)):
                task = self.ledger.claim(task_id, now)
                assert task
                with self.database.write() as tx:
                    self.ledger.finish(tx, task, "done", now)
        self.bell.ring("finished", "post")

    def problem(self, kind: str = "mailbox") -> Problem | None:
        """The standing problem of this kind."""
        return next((one.problem for one in self.problems.standing() if one.problem.key == f"{kind}:post"), None)

    def wait(self, count: int, where: str = "1", timeout: float = 10) -> None:
        """Wait until that many mails are there, of which something is true."""
        wait_until(lambda: self.count(where) >= count, timeout, f"{count} mails where {where}; {self.count(where)} are")

    def wait_problem(self, kind: str = "mailbox", timeout: float = 10) -> Problem:
        """Wait until a problem stands; it names a way out."""
        wait_until(lambda: self.problem(kind) is not None, timeout, f"problem {kind}")
        problem = self.problem(kind)
        assert problem
        assert problem.what
        assert problem.way_out
        return problem

    def wait_solved(self, kind: str = "mailbox", timeout: float = 10) -> None:
        """Wait until the problem is gone."""
        wait_until(lambda: self.problem(kind) is None, timeout, f"{kind} solved: {self.problem(kind)}")

    def row(self) -> dict[str, Any]:
        """The mailbox's row."""
        with self.database.read() as tx:
            return dict(tx.execute(select(mailbox).where(mailbox.c.id == self.mailbox_id)).mappings().one())


@contextmanager
def watching(root: Path, source: ImapSource, *, wrapped: Source | None = None, push: Push = PUSH) -> Generator[Station]:
    """A started station, stopped at the end."""
    station = Station(root, source, wrapped=wrapped, push=push)
    station.watcher.start()
    try:
        yield station
    finally:
        station.watcher.stop()
        station.watcher.join(5)
        station.database.close()


def bodies(source: ImapSource, keys: Sequence[str] | None = None) -> list[bytes]:
    """The mails that a fresh session lists and fetches together."""
    session = source.connect()
    try:
        mails = [one for one in session.list().mails if keys is None or one.key in keys]
        return [b"".join(one.pieces) for one in session.fetch(mails)]
    finally:
        session.close()


def looked(station: Station) -> None:
    """Wait until one whole look that begins now is over."""
    for _ in range(2):
        before = station.row()["last_ok_at"]
        station.watcher._noted_at = -1e9  # else it is noted every 20 s only
        station.watcher.poll_now()
        wait_until(lambda before=before: station.row()["last_ok_at"] != before, 10, "a look")
