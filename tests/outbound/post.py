"""Payloads of mails, and a post office: real outbox, real delivery, a courier."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select

from revscript.config import Outbox as RetrySettings
from revscript.health import Problems
from revscript.jail.reading.model import MailAddress, Reading
from revscript.model import Problem, ServerMail, wall_clock
from revscript.outbound.courier import Courier, Deliverer
from revscript.outbound.mail import MailDelivery
from revscript.snapshot import Snapshot, load_snapshot
from revscript.store.bell import Bell
from revscript.store.blobs import Blobs
from revscript.store.database import Database
from revscript.store.intake import Incoming, Intake
from revscript.store.ledger import Ledger
from revscript.store.outbox import Outbox
from revscript.store.schema import act
from tests.instance import make_instance, smtp, wait_until

SENDER = "einsatz@fuest.example"


def payload(*to: str, **more: Any) -> dict[str, Any]:
    """What the commit puts into the outbox for a mail."""
    made: dict[str, Any] = {
        "account": "post",
        "from": SENDER,
        "to": list(to) or ["s1@x.example"],
        "cc": [],
        "subject": "Lage",
        "text": "Neue Lage.\n",
        "html": None,
        "in_reply_to": None,
        "files": [],
        "attachments": [],
    }
    return made | more


class PostOffice:
    """An instance whose accounts send to the given ports, and its courier."""

    def __init__(
        self, root: Path, ports: dict[str, int], *, ways: dict[str, Deliverer] | None = None, **network: float
    ) -> None:
        accounts = {name: {"address": SENDER, "sending": smtp(port)} for name, port in ports.items()}
        settings: dict[str, Any] = {"network": {"connect_timeout": 2, "read_timeout": 2} | network}
        self.snapshot: Snapshot = load_snapshot(make_instance(root, accounts, settings=settings))
        assert not self.snapshot.findings, self.snapshot.findings
        self._uids = itertools.count(1)
        self.database = Database(root / "post.db")
        self.blobs = Blobs(self.database)
        self.outbox = Outbox(self.database)
        self.bell = Bell()
        self.problems = Problems(self.database, wall_clock)
        self.mail = MailDelivery(self.blobs, lambda: self.snapshot, self.database.instance_id, root)
        self.retry = RetrySettings(retry=(0.05, 0.1))
        self._ways = ways or {"mail": self.mail}
        self.ahead = timedelta()  # by how much somebody has set the clock since the start
        self.clock_trusted = True
        self.patience = 60.0
        self.courier = self.new_courier()

    def new_courier(self) -> Courier:
        """A courier on the same outbox, as after a restart."""
        return Courier(
            self.outbox,
            self._ways,
            lambda: self.retry,
            self.bell,
            self.problems,
            self.now,
            clock_trusted=lambda: self.clock_trusted,
            clock_moved=lambda _then: self.ahead,
            patience=lambda: self.patience,
        )

    def now(self) -> datetime:
        """The office's clock."""
        return wall_clock() + self.ahead

    def answer(self, key: str, *to: str, of: str = "leitstelle@x.example", **more: Any) -> int:
        """A mail into the outbox that a script sends because of a mail `of` somebody."""
        intake, uid = Intake(self.database, self.blobs), str(next(self._uids))
        box = intake.mailbox_id("imap", "imap.fuest.example", "post", "INBOX")
        intake.begin_epoch(box, "1", 1)
        mail = Incoming(ServerMail("1", uid, 4), self.blobs.stage([b"Mail"]))
        (receipt,) = intake.receive(box, "post", [mail], ("script",), "0" * 64, wall_clock())
        read = Reading(sender=MailAddress(address=of))
        Ledger(self.database, self.blobs).store_reading(receipt.mail_id, read, wall_clock())
        return self.add(key, *(to or (of,)), mail_id=receipt.mail_id, **more)

    def add(
        self,
        key: str,
        *to: str,
        lane: str = "smtp:post",
        level: str = "info",
        not_after: datetime | None = None,
        mail_id: int | None = None,
        **more: Any,
    ) -> int:
        """A mail into the outbox."""
        now = wall_clock()
        with self.database.write() as tx:
            act_id = self.outbox.add(
                tx,
                key=key,
                kind="mail",
                lane=lane,
                level=level,
                payload=payload(*to, **more),
                not_after=not_after or now + timedelta(hours=1),
                now=now,
                mail_id=mail_id,
            )
        self.bell.ring("act")
        return act_id

    def row(self, act_id: int) -> Any:
        """The act as it stands."""
        with self.database.read() as tx:
            return tx.execute(select(act).where(act.c.id == act_id)).one()

    def wait(self, act_id: int, state: str, timeout: float = 10) -> Any:
        """Wait for the act to be in this state; returns its row."""
        wait_until(lambda: self.row(act_id).state == state, timeout, f"act {act_id} {state}: {self.row(act_id)}")
        return self.row(act_id)

    def problem(self, key: str) -> Problem | None:
        """The standing problem with this key."""
        return next((one.problem for one in self.problems.standing() if one.problem.key == key), None)

    def wait_problem(self, key: str) -> Problem:
        """Wait until a problem stands; it names a way out."""
        wait_until(lambda: self.problem(key) is not None, 10, f"problem {key}: {self.problems.standing()}")
        problem = self.problem(key)
        assert problem
        assert problem.way_out
        return problem

    def wait_solved(self, key: str) -> None:
        """Wait until the problem is gone."""
        wait_until(lambda: self.problem(key) is None, 10, f"{key} solved: {self.problem(key)}")


@contextmanager
def delivering(office: PostOffice) -> Generator[PostOffice]:
    """The courier works within the block."""
    office.courier.start()
    try:
        yield office
    finally:
        office.courier.stop()
        office.courier.join(5)
        office.database.close()
