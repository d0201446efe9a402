"""Drains during which the host is killed again and again, and what must be true at each death and in the end."""

from __future__ import annotations

import hashlib
import json
import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from functools import cached_property
from pathlib import Path
from typing import Any

from revscript.host import DATABASE
from revscript.snapshot import Instance
from tests.instance import imap_account, make_instance, rows, smtp, wait_until
from tests.servers.dovecot import Dovecot
from tests.servers.mails import Attachment, alarm_mail
from tests.servers.smtp_sink import SmtpSink

SCRIPT = """
def onEMail(mail):
    mission, _ = missions.upsert("4711", keyword="B 3")
    documents.incoming(mail, subject=mail.subject, mission=mission)
    notify.all(mail.subject, level="alarm")
    mission.folder.add(mail)
    send_mail("stab@post.example", mail.subject, mail.text)
"""
SETTINGS = {
    "backoff": {"first": 0.1, "most": 0.5},
    "outbox": {"retry": [0.2]},
    "jail": {"children": 3},
}
METHODS: dict[str, dict[str, bool]] = {
    "script": {"script": True},
    "all": {"script": True, "document": True, "centre": True, "mission_folder": True},
}
EFFECTS = {"script": 5, "all": 8}  # of one mail: five of the script, one of each of the other methods
BACKLOG, NEW = 14, 4  # mails of an account that wait at the begin of a life, and how many of them at least are new
SIZES = (2_000, 2_000, 100_000, 2_000, 400_000)  # bytes of attachments: within a row, in rows of its own, extracted

_MAIL = """
SELECT account, subject, state, settle,
  (SELECT count(*) FROM task WHERE mail_id = mail.id AND state = 'done' AND attempts = 1),
  (SELECT count(*) FROM form_source WHERE mail_id = mail.id),
  (SELECT count(*) FROM notice WHERE mail_id = mail.id),
  (SELECT count(*) FROM folder_item WHERE mail_id = mail.id),
  (SELECT count(*) FROM act WHERE mail_id = mail.id AND state = 'sent'),
  (SELECT count(*) FROM applied_effect WHERE mail_id = mail.id)
FROM mail LEFT JOIN reading ON reading.mail_id = mail.id WHERE NOT coalesce(fallback, 0)
"""
# A script that steps aside, because the host has died with it, lets the mail's other methods go first.
_UNEVEN = """
SELECT mail_id, state, (SELECT count(*) FROM {table} WHERE {table}.mail_id = task.mail_id) AS made FROM task
WHERE method = 'script' AND made <> (state = 'done' OR EXISTS (
  SELECT 1 FROM task AS other WHERE other.mail_id = task.mail_id AND other.method = '{also}' AND other.state = 'done'))
"""
ALSO_BY = {"form_source": "document", "notice": "", "folder_item": "mission_folder", "act": ""}

_STORED = """
SELECT subject, sha256 FROM folder_item AS item
JOIN blob ON blob.id = item.blob_id JOIN reading ON reading.mail_id = item.mail_id
"""


@dataclass(frozen=True)
class Point:
    """An instant of a mail's way: the row of the design's table, its event, and what the store says when it died then.

    `store` is a question with the names of the event's values; it must be answered with 1.
    """

    row: str
    event: str
    numbers: tuple[int, int]  # between which occurrences of it the host dies
    store: str


_SOME_MAIL_IS_NOT_HERE = "SELECT count(*) < :delivered FROM mail"
_MAIL_IS = "SELECT count(*) FROM mail WHERE id = :mail AND "
_TASK_IS = "SELECT count(*) FROM task WHERE id = :task AND state = "
_ACT_IS = "SELECT count(*) FROM act WHERE id = :act AND state = "
_UNSETTLED = "SELECT count(*) > 0 FROM mail WHERE account = :account AND state = 'done' AND settle = 'waiting'"

POINTS = (
    Point("fetch", "fetching", (1, 2), _SOME_MAIL_IS_NOT_HERE),
    Point("fetch", "staged", (1, 4), "SELECT NOT count(*) FROM mail WHERE account = :account AND server_key = :key"),
    Point("fetch", "fetched", (1, 2), _SOME_MAIL_IS_NOT_HERE),
    Point("receive", "insert mail", (1, 4), _SOME_MAIL_IS_NOT_HERE),
    Point("receive", "insert task", (1, 4), _SOME_MAIL_IS_NOT_HERE),
    Point("receive", "received", (1, 4), "SELECT count(*) FROM mail WHERE id = :mail"),
    Point("read", "reading", (1, 4), _MAIL_IS + "state = 'received'"),
    Point("read", "insert reading", (1, 4), "SELECT count(*) > 0 FROM mail WHERE state = 'received'"),
    Point("read", "read", (1, 4), _MAIL_IS + "state = 'read'"),
    Point("run", "due", (1, 8), _TASK_IS + "'waiting'"),
    Point("run", "claimed", (3, 8), _TASK_IS + "'running'"),
    Point("run", "ran", (3, 8), _TASK_IS + "'running'"),
    Point("commit", "committing", (3, 8), _TASK_IS + "'running'"),
    Point("commit", "insert applied_effect", (3, 25), "SELECT count(*) > 0 FROM task WHERE state = 'running'"),
    Point("commit", "committed", (1, 8), _TASK_IS + "'done'"),
    Point("deliver", "delivering", (1, 4), _ACT_IS + "'pending' AND owner NOTNULL"),
    Point("deliver", "delivered", (1, 4), _ACT_IS + "'pending' AND owner NOTNULL"),
    Point("deliver", "sent", (1, 4), _ACT_IS + "'sent' AND owner ISNULL"),
    Point("settle", "settling", (1, 2), _UNSETTLED),
    Point("settle", "told", (1, 2), _UNSETTLED),
    Point("settle", "settled", (1, 4), _MAIL_IS + "settle = 'settled'"),
)


@dataclass
class Storm:
    """Two accounts, one with a script and one with all methods; `log` says what was done to the host."""

    root: Path
    dovecot: Dovecot
    sink: SmtpSink
    prefix: str
    random: random.Random
    log: Path
    lives: int = 0
    deaths: Counter[str] = field(default_factory=Counter[str])  # by the last event
    idle: int = 0  # deaths at which there was nothing left to do
    files: dict[str, str] = field(default_factory=dict[str, str])  # subject → hash of its attachment
    delivered: Counter[str] = field(default_factory=Counter[str])  # by account
    _read: int = 0

    @cached_property
    def instance(self) -> Instance:
        """The instance folder."""
        accounts = {
            name: imap_account(self.dovecot, self._user(name), methods=methods, sending=smtp(self.sink.port))
            for name, methods in METHODS.items()
        }
        return make_instance(self.root / "instance", accounts, {"onEMail.py": SCRIPT}, SETTINGS)

    @property
    def trace(self) -> Path:
        """What the hosts of all lives wrote."""
        return self.root / "trace"

    def _user(self, account: str) -> str:
        return f"{self.prefix}-{account}"

    def note(self, text: str) -> None:
        """Add a line to the log."""
        with self.log.open("a") as log:
            log.write(f"{text}\n")

    # ------------------------------------------------------------ mails

    def deliver(self, account: str, count: int) -> None:
        """Put new mails into an account's mailbox, each with a number and a file of its own."""
        for _ in range(count):
            number = f"{account}-{self.delivered[account]:05}"
            data = self.random.randbytes(SIZES[self.delivered[account] % len(SIZES)])
            file = Attachment(f"lage-{number}.bin", data)
            mail = alarm_mail(number=number, keyword="B 3", place="Musterstadt", attachments=[file])
            self.dovecot.deliver(self._user(account), mail)
            self.files[f"Einsatz {number}: B 3, Musterstadt"] = hashlib.sha256(data).hexdigest()
            self.delivered[account] += 1

    def top_up(self) -> None:
        """See to it that there is something to do in both accounts."""
        self.rest()
        for account in METHODS:
            done = self.ask("SELECT count(*) FROM mail WHERE account = ? AND settle = 'settled'", account)
            self.deliver(account, max(NEW, BACKLOG - self.delivered[account] + done))

    # ------------------------------------------------------------ lives

    @contextmanager
    def host(self, kill_at: str = ":0") -> Generator[subprocess.Popen[bytes]]:
        """A host; it is told to stop in the end, unless it is dead already."""
        self.lives += 1
        command = [sys.executable, "-m", "tests.system.killer", self.instance.root, self.trace, kill_at]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
            try:
                yield process
            finally:
                if process.stdin:
                    process.stdin.close()
                try:
                    process.wait(30)
                finally:
                    process.kill()

    def die_at(self, point: Point) -> None:
        """A life that ends at a point."""
        self.top_up()
        number = self.random.randint(*point.numbers)
        with self.host(f"{point.event}:{number}") as process:
            process.wait(60)
        last = self._bury(process, f"{point.event}:{number}")
        assert last["event"] == point.event
        assert self.ask(point.store, **last, delivered=self.delivered.total()) == 1, (point, last)

    def die_after(self, seconds: float) -> None:
        """A life that ends some time after all parts were started."""
        self.top_up()
        with self.host() as process:
            self.wait_for_start(process)
            time.sleep(seconds)
            process.kill()
        self._bury(process, f"after {seconds:.3f} s")

    def wait_for_start(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until all parts of the host were started."""
        wait_until(lambda: self._started(process), 60, "the host has started", pause=0.005)

    def _started(self, process: subprocess.Popen[bytes]) -> bool:
        assert process.poll() is None, "the host ended by itself"
        return any(one["event"] == "started" for one in self.events(self._read))

    def _bury(self, process: subprocess.Popen[bytes], how: str) -> dict[str, Any]:
        assert process.returncode == -9, f"life {self.lives} ({how}) ended with {process.returncode}"
        last = self.events(self._read)[-1]
        self._read = self.trace.stat().st_size
        self.deaths[last["event"]] += 1
        self.idle += self.all_done()
        self.note(f"{self.lives}: {how}; last event {last}")
        self.check()
        return last

    def rest(self) -> None:
        """Let the host finish what it began often: from three deaths on a mail steps aside, in the end for good.

        It says nothing of the mail that it was begun often: the first one of an account always is.
        """
        often = "SELECT count(*) FROM task WHERE state <> 'done' AND interruptions >= 3"
        if self.ask(often) > 0:
            self.note(f"{self.lives + 1}: a peaceful one")
            with self.host() as process:
                wait_until(lambda: self.ask(often) == 0, 60, "what was begun often is finished", pause=0.05)
            assert process.returncode == 0
            self._read = self.trace.stat().st_size

    def drain(self, timeout: float) -> None:
        """A life that ends when nothing is left to do."""
        with self.host() as process:
            wait_until(self.all_done, timeout, "everything is done", pause=0.1)
        assert process.returncode == 0

    def all_done(self) -> bool:
        """Whether all mails are settled and all acts carried out."""
        settled = "SELECT count(*) FROM mail WHERE settle = 'settled'"
        return (
            self.ask(settled) == self.delivered.total()
            and self.ask("SELECT count(*) FROM act WHERE state <> 'sent'") == 0
        )

    # ------------------------------------------------------------ what must be true

    def ask(self, question: str, *values: Any, **named: Any) -> int:
        """The number that answers a question to the store; 0 when there is none yet."""
        path = self.instance.data / DATABASE
        if not path.exists():
            return 0
        with closing(sqlite3.connect(path, timeout=30)) as connection:
            return int(connection.execute(question, named or values).fetchone()[0])

    def events(self, start: int = 0) -> list[dict[str, Any]]:
        """The trace from a place on; its last line may be half written still."""
        if not self.trace.exists():
            return []
        with self.trace.open("rb") as trace:
            trace.seek(start)
            return [json.loads(line) for line in trace.read().split(b"\n")[:-1]]

    def check(self) -> None:
        """What holds whenever the host dies: tries are all or nothing, and nobody is told of a mail before its end."""
        for table, also in ALSO_BY.items():
            uneven = rows(self.instance, _UNEVEN.format(table=table, also=also))
            assert uneven == [], (table, uneven)
        early = "SELECT mail_id FROM mail JOIN task ON mail.id = mail_id WHERE task.state <> 'done' AND "
        assert rows(self.instance, f"{early} (mail.state = 'done' OR settle = 'settled')") == []
        for account in METHODS:
            done = rows(self.instance, "SELECT server_key FROM mail WHERE account = ? AND state = 'done'", account)
            flags = self.dovecot.flags(self._user(account))
            assert len(flags) == self.delivered[account]
            assert {str(uid) for uid in flags if "\\Seen" in flags[uid]} <= {key for (key,) in done}

    def check_all(self) -> None:
        """What holds when all is done: each mail's facts once, its act at least once and always the same."""
        self.check()
        expected = [
            (account, subject, "done", "settled", len(METHODS[account]), 1, 1, 1, 1, EFFECTS[account])
            for subject in self.files
            for account in METHODS
            if f" {account}-" in subject
        ]
        assert sorted(rows(self.instance, _MAIL)) == sorted(expected)
        for table in ("message_form", "notice", "folder_item", "act", "form_source"):
            assert self.ask(f"SELECT count(*) FROM {table}") == len(self.files)
        assert self.ask("SELECT max(register_no) FROM message_form") == len(self.files)
        assert dict(rows(self.instance, _STORED)) == self.files
        orphans = "SELECT count(*) FROM blob_chunk WHERE blob_id NOT IN (SELECT id FROM blob)"
        assert self.ask(orphans) == 0
        self._check_acts()
        self._check_order()

    def _check_acts(self) -> None:
        copies: dict[str, list[bytes]] = defaultdict(list)
        for one in self.sink.messages:
            copies[str(message_from_bytes(one.raw)["Message-ID"])].append(one.raw)
        assert all(len(set(same)) == 1 for same in copies.values())
        assert sorted(_subject(same[0]) for same in copies.values()) == sorted(self.files)
        assert len(self.sink.messages) - len(copies) >= self.deaths["delivered"]

    def _check_order(self) -> None:
        """By the trace: a mail is settled after each of its tasks ran, and never worked again."""
        ran: dict[int, set[int]] = defaultdict(set)
        settled: set[int] = set()
        for one in self.events():
            if one["event"] == "ran":
                assert one["mail"] not in settled
                ran[one["mail"]].add(one["task"])
            elif one["event"] == "settled":
                settled.add(one["mail"])
                assert len(ran[one["mail"]]) == len(METHODS[one["account"]])
        assert len(settled) > len(self.files) / 2  # a host may die before it has written down what it did


def _subject(raw: bytes) -> str:
    return str(message_from_bytes(raw)["Subject"])
