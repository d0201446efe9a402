"""Runs a case as the host does, from the received bytes to the committed records; mail server and clock are ours."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import update

from revscript.config import load_settings
from revscript.engine import Reader, Trying
from revscript.health import Problems
from revscript.host import Stores, open_stores, sandbox_for
from revscript.model import METHODS, Method, Outcome, ServerMail
from revscript.reload import Loader
from revscript.sandbox import Sandbox
from revscript.snapshot import Snapshot
from revscript.store.bell import Bell
from revscript.store.intake import Incoming
from revscript.store.record_tables import message_form, mission
from tests.golden import files
from tests.golden.picture import Picture
from tests.instance import due

START = datetime(2026, 11, 23, 14, 20, tzinfo=UTC)
MANY = 1000  # more mails than any case has
LONG = timedelta(days=1)  # more time than all tries of a mail take
HEAD = 4096  # bytes that are fetched of a mail of which only the head is wanted


def outcome(case: Path, root: Path) -> str:
    """What comes of the case's mails, as stable JSON text; `root` is an empty folder for its instance."""
    story, mails = files.story(case), files.mails(case)
    with _post(case, root) as post:
        for one in story.missions:
            post.begin(one)
        for number, file in enumerate(mails, start=1):
            minutes = story.arrives[number - 1] if story.arrives else 0
            post.work_until(START + timedelta(minutes=minutes))
            if number == story.touched_before:
                post.touch_forms()
            post.receive(number, file.read_bytes(), cut=story.cut)
        post.work_until(post.now + LONG)
        found = Picture(post.stores.database, START).whole()
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


@contextmanager
def _post(case: Path, root: Path) -> Generator[Post]:
    instance = files.instance_of(case, root)
    stores, sandbox = open_stores(instance), sandbox_for(load_settings(instance.settings))
    try:
        snapshot = Loader(instance, sandbox).load()
        others = [one for one in snapshot.errors if one.place != "methods.script.file"]
        assert {one.file for one in others} <= {f"user_scripts/{name}" for name in snapshot.refused}
        yield Post(stores, snapshot, sandbox)
    finally:
        sandbox.stop()
        stores.database.close()


class Post:
    """A command post with one account, and the hands of whoever acts upon it."""

    def __init__(self, stores: Stores, snapshot: Snapshot, sandbox: Sandbox) -> None:
        self.stores = stores
        self.now = START
        self._snapshot = snapshot
        self._account = snapshot.accounts[files.ACCOUNT_NAME]
        self._box = stores.intake.mailbox_id(*self._account.mailboxes()[0])
        problems = Problems(stores.database, self._clock)
        reader = Reader(stores.ledger, stores.blobs, sandbox, problems, self._clock)
        self._trying = Trying(
            stores.ledger, stores.blobs, reader, stores.commit, sandbox, Bell(), problems, self._clock
        )

    def _clock(self) -> datetime:
        return self.now

    def begin(self, wanted: files.Mission) -> None:
        """Somebody begins a mission."""
        effect = Outcome(by="user:mue", effects=(wanted.effect(),))
        self.stores.commit.apply(effect, now=self.now, snapshot=self._snapshot)
        with self.stores.database.write() as tx:
            tx.execute(update(mission).where(mission.c.number == wanted.number).values(lead=wanted.lead))

    def touch_forms(self) -> None:
        """Somebody works on all forms that are there."""
        with self.stores.database.write() as tx:
            tx.execute(update(message_form).values(touched_at=self.now))

    def receive(self, number: int, raw: bytes, *, cut: bool) -> None:
        """The mail arrives, as a watcher hands it over."""
        staged = self.stores.blobs.stage([raw[:HEAD] if cut else raw])
        mail = Incoming(ServerMail("1", str(number), len(raw), self.now.isoformat()), staged, cut)
        methods: list[Method] = [method for method in METHODS if getattr(self._account.methods, method)]
        self.stores.intake.receive(self._box, self._account.name, [mail], methods, self._snapshot.sha256, self.now)

    def work_until(self, end: datetime) -> None:
        """Do what is due until then, tries again included, as the engine's workers do."""
        while True:
            for mail_id in self.stores.ledger.mails_with_work(self._account.name, due(self.now), MANY):
                self._trying.work(mail_id, self._snapshot, stopping=lambda: False)
            next_due = self.stores.ledger.next_due(self.now)
            if next_due is None or next_due > end:
                break
            self.now = next_due
        self.now = end
