"""The only file that knows every part: builds, starts and stops them in order."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import structlog

from revscript.commit import Commit
from revscript.config import Account, Imap, PasswordAuthentication, Settings
from revscript.engine import Engine, Reader, Trying
from revscript.errors import ConfigError, JailBroken, StoreError
from revscript.health import Problems
from revscript.housekeeping import Housekeeping
from revscript.inbound.imap import ImapSource
from revscript.inbound.watch import Watched, Watcher
from revscript.jail.confine import Limits
from revscript.jail.wire import ScriptProblem
from revscript.model import METHODS, Clock, Problem, wall_clock
from revscript.outbound.courier import Courier
from revscript.outbound.mail import MailDelivery
from revscript.sandbox import Sandbox
from revscript.snapshot import Instance, Snapshot, load_snapshot
from revscript.store.bell import Bell
from revscript.store.blobs import Blobs
from revscript.store.database import Database
from revscript.store.intake import Intake
from revscript.store.ledger import Ledger
from revscript.store.outbox import Outbox

DATABASE = "revscript.db"
LOCK = "host.lock"
LOCK_PATIENCE = 0.5  # s
STOP_PATIENCE = 2.5  # s for tries under way; a clean stop takes less than 5 s
JOIN_PATIENCE = 4.0  # s since the stop began, until a watcher that hangs on its server is left behind
WATCH_COMMITS = 0.5  # s between looks for commits of other processes
MB = 1_000_000

log = structlog.get_logger()


@contextmanager
def locked(instance: Instance) -> Generator[None]:
    """Hold the instance's lock; ConfigError when another host runs there or its data folder cannot be written."""
    try:
        instance.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        instance.data.chmod(0o700)  # it may have been there: mails are nobody else's business
        file = (instance.data / LOCK).open("a+")
    except OSError as error:
        raise ConfigError(
            f"{instance.data}: {error.strerror}.", hint="The host's user must be able to write this folder."
        ) from error
    with file:
        _lock(file, instance)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _lock(file: TextIO, instance: Instance) -> None:
    until = time.monotonic() + LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            if time.monotonic() < until:
                time.sleep(0.05)  # `status` holds it for an instant when it looks
                continue
        file.seek(0)
        raise ConfigError(
            f"{instance.root}: a host runs here already (process {file.read().strip() or 'unknown'}).",
            hint="Stop it first, or use another folder with --instance.",
        )


@dataclass(frozen=True, slots=True)
class Stores:
    """The store of an instance, opened; also used by commands beside the host."""

    database: Database
    blobs: Blobs
    ledger: Ledger
    intake: Intake
    outbox: Outbox
    commit: Commit


def open_stores(instance: Instance) -> Stores:
    """Open the instance's store; StoreError when that fails."""
    try:
        database = Database(instance.data / DATABASE)
    except OSError as error:
        raise StoreError(f"{instance.data}: {error}") from error
    blobs = Blobs(database)
    ledger, outbox = Ledger(database, blobs), Outbox(database)
    commit = Commit(database, blobs, ledger, outbox)
    return Stores(database, blobs, ledger, Intake(database, blobs), outbox, commit)


def sandbox_for(settings: Settings) -> Sandbox:
    """The jail with the limits of the settings."""
    jail = settings.jail
    return Sandbox(Limits(jail.cpu, jail.memory << 20, int(jail.wall * 1000)), jail.children)


def _refused(name: str, problems: tuple[ScriptProblem, ...]) -> Problem:
    first = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    where = f"line {first.line}: " if first.line else ""
    return Problem(
        f"script:{name}",
        f"user_scripts/{name}",
        f"The script cannot run: {where}{first.text}{more}",
        "Mend it and start again; `revscript check` shows all of it. Its mails go into quarantine until then.",
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """Something that is started and stopped."""

    start: Callable[[], None]
    stop: Callable[[], None]


class Host:
    """A running instance. `start` returns when everything runs, `stop` when everything has stopped."""

    def __init__(self, instance: Instance, clock: Clock = wall_clock) -> None:
        self.instance = instance
        self.snapshot = load_snapshot(instance)
        self.stores = open_stores(instance)
        self.bell = Bell()
        self.problems = Problems(self.stores.database, clock)
        self.sandbox = sandbox_for(self.snapshot.settings)
        self._clock = clock
        self._started: list[_Part] = []
        self._stop_watching = threading.Event()
        self._commit_watch = threading.Thread(target=self._watch_commits, name="commits", daemon=True)
        self._build()

    def _build(self) -> None:
        stores = self.stores
        reader = Reader(stores.ledger, stores.blobs, self.sandbox, self.problems, self._clock)
        trying = Trying(
            stores.ledger,
            stores.blobs,
            reader,
            stores.commit,
            self.sandbox,
            self.bell,
            self.problems,
            self._clock,
        )
        self.engine = Engine(
            stores.ledger, trying, self.sandbox, lambda: self.snapshot, self.bell, self.problems, self._clock
        )
        mail = MailDelivery(stores.blobs, lambda: self.snapshot, stores.database.instance_id, self.instance.root)
        self.courier = Courier(
            stores.outbox,
            {"mail": mail},
            lambda: self.snapshot.settings.outbox,
            self.bell,
            self.problems,
            self._clock,
        )
        self.watchers = [
            watcher
            for account in self.snapshot.accounts.values()
            if account.enabled and (watcher := self._watcher(account, self.snapshot)) is not None
        ]
        self.housekeeping = Housekeeping(self.watchers)

    def _watcher(self, account: Account, snapshot: Snapshot) -> Watcher | None:
        receiving, login = account.receiving, account.authentication
        if not isinstance(receiving, Imap) or not isinstance(login, PasswordAuthentication):
            return None
        mailbox = account.mailboxes()[0]
        network = snapshot.settings.network
        source = ImapSource(
            settings=receiving,
            folder=receiving.folders[0],
            username=login.username,
            password=login.password.reveal(),
            ca_file=self._ca_file(account),
            connect_timeout=network.connect_timeout,
            read_timeout=network.read_timeout,
            hard_cap=snapshot.settings.hard_cap * MB,
        )
        on = set(account.methods.names())
        watched = Watched(
            account=account,
            receiving=receiving,
            mailbox_id=self.stores.intake.mailbox_id(*mailbox),
            methods=tuple(method for method in METHODS if method in on),
            snapshot_sha256=snapshot.sha256,
        )
        return Watcher(
            watched,
            source,
            self.stores.intake,
            self.stores.blobs,
            self.bell,
            self.problems,
            self._clock,
            snapshot.settings.backoff,
        )

    def _ca_file(self, account: Account) -> Path | None:
        return self.instance.root / account.ca_file if account.ca_file else None

    def start(self) -> None:
        """Start all parts; JailBroken when scripts cannot be confined here."""
        for finding in self.snapshot.findings:
            self.problems.report(
                Problem(
                    f"file:{finding.file}:{finding.place}",
                    finding.file,
                    str(finding),
                    "Mend the file and start again.",
                    finding.severity,
                )
            )
        if swept := self.stores.blobs.sweep():
            log.info("swept", rows=swept)
        threading.Thread(target=self._check_scripts, name="scripts", daemon=True).start()
        for part in self._parts():
            self._started.append(part)
            try:
                part.start()
            except BaseException:
                self.stop()
                raise
        log.info("started", accounts=len(self.watchers), instance=self.stores.database.instance_id)

    def _check_scripts(self) -> None:
        """A script that the policy refuses is a Problem now, not only when an alarm comes."""
        for account in self.snapshot.accounts.values():
            script = self.snapshot.script_of(account) if account.enabled and account.methods.script else None
            if script is None:
                continue
            try:
                refused = self.sandbox.check_script(script.text)
            except JailBroken:
                return  # the engine tells of that
            if refused:
                self.problems.report(_refused(script.name, refused))

    def _parts(self) -> list[_Part]:
        """All threads and processes, in the order in which they start; they stop in reverse."""
        workers = self.snapshot.settings.jail.children
        return [
            _Part(self.sandbox.start, self.sandbox.stop),
            _Part(lambda: self.engine.start(workers), lambda: self.engine.stop(STOP_PATIENCE)),
            _Part(self.courier.start, self.courier.stop),
            *(_Part(watcher.start, watcher.stop) for watcher in self.watchers),
            _Part(self.housekeeping.start, self.housekeeping.stop),
            _Part(self._commit_watch.start, self._stop_watching.set),
        ]

    def stop(self) -> None:
        """Stop all parts in reverse order, within 5 s."""
        begun = time.monotonic()
        log.info("stopping")
        started = [watcher for watcher in self.watchers if watcher.is_alive]
        while self._started:
            self._started.pop().stop()
        for watcher in started:
            watcher.join(max(0.05, JOIN_PATIENCE - (time.monotonic() - begun)))
        self.courier.join(0.05)
        self.stores.database.close()
        log.info("stopped", seconds=round(time.monotonic() - begun, 1))

    def _watch_commits(self) -> None:
        while not self._stop_watching.wait(WATCH_COMMITS):
            try:
                if self.stores.database.others_committed():
                    self.bell.ring_all()
            except StoreError as error:
                log.warning("commits of other processes go unnoticed for now", why=str(error))
