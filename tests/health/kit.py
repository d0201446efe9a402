"""Time that a test moves, and a sink that only remembers."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text

from revscript.config import Account, Settings
from revscript.config import Outbox as RetrySettings
from revscript.health import Problems
from revscript.jail.reading.model import Reading
from revscript.model import Problem, ServerMail
from revscript.outbound.courier import Courier
from revscript.outbound.mail import MailDelivery
from revscript.snapshot import Snapshot
from revscript.store.bell import Bell
from revscript.store.blobs import Blobs
from revscript.store.canary import Canaries
from revscript.store.database import Database
from revscript.store.intake import Incoming, Intake
from revscript.store.ledger import Ledger
from revscript.store.outbox import Outbox

METHODS = {"methods": {"centre": True}}
START = datetime(2026, 11, 24, 10, tzinfo=UTC)


class Time:
    """The true time, which goes on by `pass_`; the wall clock shows it with an error that somebody can set."""

    def __init__(self, wrong: float = 0.0) -> None:
        self.steady_seconds = 1000.0
        self.wrong = wrong  # s by which the wall clock is ahead of the true time

    def pass_(self, seconds: float) -> None:
        """Let time go by."""
        self.steady_seconds += seconds

    def set_wall(self, by: float) -> None:
        """Somebody sets the wall clock."""
        self.wrong += by

    @property
    def true(self) -> datetime:
        """What the servers' clocks show."""
        return START + timedelta(seconds=self.steady_seconds - 1000.0)

    def wall(self) -> datetime:
        """The host's clock."""
        return self.true + timedelta(seconds=self.wrong)

    def steady(self) -> float:
        """Monotonic seconds."""
        return self.steady_seconds


class Sink:
    """A ProblemSink in memory."""

    def __init__(self) -> None:
        self.standing: dict[str, Problem] = {}

    def report(self, problem: Problem) -> None:
        """Keep it."""
        assert problem.what
        assert problem.way_out
        self.standing[problem.key] = problem

    def clear(self, key: str) -> None:
        """Forget it."""
        self.standing.pop(key, None)

    def __getitem__(self, key: str) -> Problem:
        return self.standing[key]

    def __contains__(self, key: str) -> bool:
        return key in self.standing


class Instance:
    """A store, a real courier and accounts, whose time a test moves."""

    def __init__(self, root: Path, accounts: dict[str, dict[str, Any]], settings: dict[str, Any] | None = None) -> None:
        self.root = root
        self.time = Time()
        self.snapshot = snapshot(accounts, settings)
        self.database = Database(root / "health.db")
        self.blobs = Blobs(self.database)
        self.intake = Intake(self.database, self.blobs)
        self.ledger = Ledger(self.database, self.blobs)
        self.outbox = Outbox(self.database)
        self.bell = Bell()
        self.problems = Problems(self.database, self.time.wall, self.time.steady)
        self.canaries = Canaries(self.database, self.outbox, self.time.wall)
        self.mail = MailDelivery(self.blobs, lambda: self.snapshot, self.database.instance_id, root)
        self._uids = itertools.count(1)

    def box(self, account: str, number: int = 0) -> int:
        """The row of one of an account's mailboxes, in epoch 1."""
        mailbox_id = self.intake.mailbox_id(*self.snapshot.accounts[account].mailboxes()[number])
        self.intake.begin_epoch(mailbox_id, "1", 1)
        return mailbox_id

    def look(self, account: str, error: str = "") -> None:
        """A round trip to all of an account's mailboxes, with or without success."""
        now = self.time.wall()
        for number in range(len(self.snapshot.accounts[account].mailboxes())):
            if error:
                self.intake.failed(self.box(account, number), error, now)
            else:
                self.intake.proved(self.box(account, number), now, now)

    def receive(
        self, account: str, number: int = 0, *, subject: str = "B 3", message_id: str = "", read: bool = True
    ) -> int:
        """A mail comes in, and is read unless it says otherwise → its id."""
        uid = next(self._uids)
        listed = ServerMail("1", str(uid), uid, self.time.true.isoformat())
        raw = self.blobs.stage([f"Subject: {subject} {uid}\r\n\r\n".encode()])
        (receipt,) = self.intake.receive(
            self.box(account, number), account, [Incoming(listed, raw, False)], ("centre",), "0" * 64, self.time.wall()
        )
        if read:
            self.read(receipt.mail_id, message_id)
        return receipt.mail_id

    def read(self, mail_id: int, message_id: str = "") -> None:
        """What the engine does first with a mail."""
        self.ledger.store_reading(mail_id, Reading(message_id=message_id), self.time.wall())

    def problem(self, key: str) -> Problem | None:
        """The standing problem with this key; it names a way out."""
        found = next((one.problem for one in self.problems.standing() if one.problem.key == key), None)
        assert found is None or found.way_out
        return found

    def courier(self) -> Courier:
        """What carries the acts out, by the test's clock."""
        return Courier(
            self.outbox,
            {"mail": self.mail},
            lambda: RetrySettings(retry=(0.05, 0.1)),
            self.bell,
            self.problems,
            self.time.wall,
        )


def snapshot(accounts: dict[str, dict[str, Any]], settings: dict[str, Any] | None = None) -> Snapshot:
    """What the files of an instance would say."""
    made = {name: Account.model_validate(data, context={"name": name}) for name, data in accounts.items()}
    return Snapshot(made, Settings.model_validate(settings or {}), {}, (), "0" * 64)


def account(user: str = "einsatz", **more: Any) -> dict[str, Any]:
    """An account file's content that receives by IMAP."""
    receiving = {"protocol": "imap", "host": "mail.fuest.example"}
    login = {"method": "password", "username": user, "password": "geheim"}
    return {"address": f"{user}@fuest.example", "authentication": login, "receiving": receiving, **METHODS} | more


def rows_of(database: Database, query: str) -> list[tuple[Any, ...]]:
    """Ask a database directly."""
    with database.read() as tx:
        return [tuple(row) for row in tx.execute(text(query))]
