"""A command post without mail servers: a real store, a real jail, and the engine's parts; its clock is ours."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from revscript.engine import Engine, Reader, Trying
from revscript.health import Problems
from revscript.host import open_stores, sandbox_for
from revscript.model import Method, ServerMail, wall_clock
from revscript.snapshot import load_snapshot
from revscript.store.bell import Bell
from revscript.store.intake import Incoming
from tests.instance import due, make_instance, rows, wait_until

SCRIPT = "onEMail.py"
MANY = 1000


def account(user: str = "u", **more: Any) -> dict[str, Any]:
    """An account that receives, runs the script, and can send."""
    plain: dict[str, Any] = {
        "address": "einsatz@fuest.example",
        "authentication": {"method": "password", "username": user, "password": "p"},
        "receiving": {"protocol": "imap", "host": "imap.fuest.example"},
        "sending": {"protocol": "smtp", "host": "smtp.fuest.example"},
        "methods": {"script": True},
        "max_age": 30,
    }
    return plain | more


class Post:
    """The post with its accounts; `now` moves on as time does, and `later` moves it."""

    def __init__(self, root: Path, accounts: dict[str, dict[str, Any]], script: str, tries: Sequence[float]) -> None:
        self.instance = make_instance(root, accounts, {SCRIPT: script}, {"tries": list(tries)})
        self.snapshot = load_snapshot(self.instance)
        self.stores = open_stores(self.instance)
        self.sandbox = sandbox_for(self.snapshot.settings)
        self.bell = Bell()
        self.later = timedelta()
        self.clock_trusted = True
        self.clock_moved = timedelta()
        self.canaries: set[str] = set()
        self._numbers = count(1)
        self.reopen()

    def reopen(self) -> None:
        """Parts as after a restart: they know nothing but what is in the store."""
        stores = self.stores
        self.problems = Problems(stores.database, self.now)
        reader = Reader(stores.ledger, stores.blobs, self.sandbox, self.problems, self.now)
        self.trying = Trying(
            stores.ledger,
            stores.blobs,
            reader,
            stores.commit,
            self.sandbox,
            self.bell,
            self.problems,
            self.now,
            clock_trusted=lambda: self.clock_trusted,
            canary=lambda _mail_id, message_id: message_id in self.canaries,
            clock_moved=lambda _then: self.clock_moved,
        )
        self.engine = Engine(
            stores.ledger, self.trying, self.sandbox, lambda: self.snapshot, self.bell, self.problems, self.now
        )

    def now(self) -> datetime:
        """The post's clock."""
        return wall_clock() + self.later

    def save(self, script: str) -> None:
        """The script's file is changed; the engine is told."""
        self.save_unnoticed(script)
        self.engine.scripts_changed([SCRIPT])

    def save_unnoticed(self, script: str) -> None:
        """It is in force; nobody is told that it is another one."""
        (self.instance.user_scripts / SCRIPT).write_text(script)
        self.snapshot = load_snapshot(self.instance)

    def receive(
        self, subject: str, *, of: str = "post", methods: Sequence[Method] = ("script",), body: str = ""
    ) -> int:
        """A mail that was just written and has just come in → its id."""
        number = next(self._numbers)
        date = self.now().strftime("%a, %d %b %Y %H:%M:%S +0000")
        head = f"From: alarm@leitstelle.example\r\nDate: {date}\r\nMessage-ID: <{number}@leitstelle.example>\r\n"
        raw = f"{head}Subject: {subject}\r\n\r\nEinsatz\r\n".encode()
        box = self.stores.intake.mailbox_id("imap", "imap.fuest.example", of, "INBOX")
        self.stores.intake.begin_epoch(box, "1", 1)
        mail = Incoming(ServerMail("1", str(number), len(raw)), self.stores.blobs.stage([raw]))
        receipts = self.stores.intake.receive(box, of, [mail], methods, self.snapshot.sha256, self.now())
        return receipts[0].mail_id

    def work(self) -> None:
        """Do what is due, as the engine's workers do, one after the other."""
        for name in self.snapshot.accounts:
            while mails := self.stores.ledger.mails_with_work(name, due(self.now()), MANY):
                self.trying.work(mails[0], self.snapshot, lambda: False)

    @contextmanager
    def engine_runs(self) -> Generator[None]:
        """With the engine's threads."""
        self.engine.start(2)
        try:
            yield
        finally:
            self.engine.stop(2)
            self.sandbox.start()

    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask the database."""
        return rows(self.instance, query, *values)

    def states(self) -> list[tuple[int, str, str]]:
        """Mail, method and state of all tasks."""
        return [(*row,) for row in self.ask("SELECT mail_id, method, state FROM task ORDER BY id")]

    def wait_for(self, query: str, expected: object, what: str) -> None:
        """Wait until the database answers a question with one value."""
        wait_until(lambda: self.ask(query) == [(expected,)], 20, what)

    def open_problems(self) -> dict[str, str]:
        """Key → what, of all that stands."""
        return {one.problem.key: one.problem.what for one in self.problems.standing()}


@contextmanager
def post_in(
    root: Path, accounts: dict[str, dict[str, Any]] | None = None, *, script: str, tries: Sequence[float] = (0,)
) -> Generator[Post]:
    """A post in a new folder."""
    post = Post(root, accounts or {"post": account()}, script, tries)
    post.sandbox.start()
    try:
        yield post
    finally:
        post.sandbox.stop()
        post.stores.database.close()
