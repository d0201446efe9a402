"""The only file that knows every part: builds, starts and stops them in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import structlog

from revscript.config import Account
from revscript.engine import Engine, Reader, Trying
from revscript.errors import StoreError
from revscript.health import Problems
from revscript.health.clock import HostClock
from revscript.health.clock_memory import ClockMemory
from revscript.health.guard import Guard
from revscript.health.silence import Sign
from revscript.host.findings import Findings
from revscript.host.stores import limits_of, open_stores, sandbox_for
from revscript.housekeeping import Housekeeping, Upkeep
from revscript.inbound.build import Tools, watchers_for
from revscript.inbound.fleet import SETTINGS as WATCHERS_SETTINGS
from revscript.inbound.fleet import Fleet
from revscript.inbound.watch import Watcher
from revscript.model import Clock, Problem, wall_clock
from revscript.outbound.courier import Courier
from revscript.outbound.mail import MailDelivery
from revscript.reload import Changes, Loader, Reload
from revscript.snapshot import Instance, Snapshot, load_snapshot
from revscript.store.bell import Bell
from revscript.store.canary import Canaries
from revscript.web.metrics import Metrics, Sources
from revscript.web.probes import Probes
from revscript.web.pulse import Pulse

STOP_PATIENCE = 2.5  # s for tries under way; a clean stop takes less than 5 s
JOIN_PATIENCE = 4.0  # s since the stop began, until a watcher that hangs on its server is left behind
WATCH_COMMITS = 0.5  # s between looks for commits of other processes
STALLED = 60.0  # s without a round after which a thread of ours counts as stuck

_REPLACED = (
    "Stop the host, and put the right file into its place: mails that were received since may be in the other one only."
)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Part:
    """Something that is started and stopped."""

    start: Callable[[], None]
    stop: Callable[[], None]


class Host:
    """A running instance. `start` returns when everything runs, `stop` when everything has stopped.

    `snapshot` is the configuration in force; whoever works on something keeps the one with which it began.
    """

    def __init__(self, instance: Instance, clock: Clock = wall_clock) -> None:
        self.instance = instance
        self.snapshot = load_snapshot(instance)  # scripts are checked by `start`: that needs the jail
        self.stores = open_stores(instance)
        self.bell = Bell()
        self.problems = Problems(self.stores.database, clock)
        self.sandbox = sandbox_for(self.snapshot.settings)
        self.host_clock = HostClock(clock, self.problems, memory=ClockMemory(self.stores.database))
        self._clock = clock
        self._started: list[_Part] = []
        self._stopping = threading.Event()
        self._commit_watch = threading.Thread(target=self._watch_commits, name="commits", daemon=True)
        self._build_mails_way()
        self._build_care()

    def _build_mails_way(self) -> None:
        """All parts that a mail meets."""
        stores, problems, clock = self.stores, self.problems, self._clock
        self.canaries = Canaries(stores.database, stores.outbox, clock)
        reader = Reader(stores.ledger, stores.blobs, self.sandbox, problems, clock)
        trying = Trying(
            stores.ledger,
            stores.blobs,
            reader,
            stores.commit,
            self.sandbox,
            self.bell,
            problems,
            clock,
            lambda: self.host_clock.trusted,
            self.canaries.recognise,
            self.host_clock.moved_since,
        )
        self.engine = Engine(stores.ledger, trying, self.sandbox, self._current, self.bell, problems, clock)
        self._mail = MailDelivery(stores.blobs, self._current, stores.database.instance_id, self.instance.root)
        retry = lambda: self.snapshot.settings.outbox  # noqa: E731
        self.courier = Courier(
            stores.outbox,
            {"mail": self._mail},
            retry,
            self.bell,
            problems,
            clock,
            clock_trusted=lambda: self.host_clock.trusted,
            clock_moved=self.host_clock.moved_since,
            patience=lambda: 60 * self.snapshot.settings.alerts.after,
        )
        self._tools = Tools(stores.intake, stores.blobs, self.bell, problems, clock, self.host_clock)
        self.fleet = Fleet(self._watchers_for, self._current, problems)

    def _build_care(self) -> None:
        """All parts that look after the others."""
        stores, problems, clock = self.stores, self.problems, self._clock
        self._findings = Findings(problems)
        self.pulse = Pulse()
        upkeep = Upkeep(
            self.instance.root,
            stores.database,
            stores.blobs,
            self._current,
            problems,
            clock,
            lambda: self.host_clock.confirmed,
            self._stopping,
        )
        self.housekeeping = Housekeeping(upkeep.jobs(), problems, self._stopping, self.pulse.beat)
        self.guard = Guard(
            root=self.instance.root,
            database=stores.database,
            canaries=self.canaries,
            mail=self._mail,
            bell=self.bell,
            problems=problems,
            host_clock=self.host_clock,
            snapshot=self._current,
            signs=self._signs,
            restart=self._restart,
            well=lambda: not self.stalled(),
            clock=clock,
        )
        metrics = Metrics(
            Sources(
                database=stores.database,
                snapshot=self._current,
                standing=problems.standing,
                zygote_alive=lambda: self.sandbox.zygote_pid is not None,
                clock_trusted=lambda: self.host_clock.trusted,
                clock_offset=lambda: self.host_clock.offset,
                clock=clock,
            )
        )
        self.probes = Probes(self.stalled, problems.standing, metrics.answer, problems, clock)
        loader = Loader(self.instance, self.sandbox)
        self._load = loader.load
        self.reload = Reload(self.instance, loader.load, self._current, self._apply, problems)

    def _watchers_for(self, account: Account, snapshot: Snapshot) -> list[Watcher]:
        return watchers_for(account, snapshot, self.instance.root, self._tools)

    def _current(self) -> Snapshot:
        return self.snapshot

    # ------------------------------------------------------------ starting and stopping

    def start(self) -> None:
        """Start all parts; JailBroken when scripts cannot be confined here."""
        if swept := self.stores.blobs.sweep():
            log.info("swept", rows=swept)
        for part in self._parts():
            self._started.append(part)
            try:
                part.start()
            except BaseException:
                self.stop()
                raise
        log.info("started", accounts=len(self.fleet.watchers), instance=self.stores.database.instance_id)

    def _parts(self) -> list[_Part]:
        """All threads and processes, in the order in which they start; they stop in reverse."""
        workers = self.snapshot.settings.jail.children
        return [
            _Part(self.sandbox.start, self.sandbox.stop),
            _Part(self._first_snapshot, lambda: None),
            _Part(lambda: self.engine.start(workers), lambda: self.engine.stop(STOP_PATIENCE)),
            _Part(self.courier.start, self.courier.stop),
            _Part(self.fleet.apply, self.fleet.stop),
            _Part(self._start_housekeeping, self.housekeeping.stop),
            _Part(self.guard.start, self.guard.stop),
            _Part(self._start_probes, self.probes.stop),
            _Part(self.reload.start, self.reload.stop),
            _Part(self._commit_watch.start, lambda: None),
        ]

    def _first_snapshot(self) -> None:
        self.snapshot = self._load(None)
        self._findings.show(self.snapshot.findings)

    def _start_housekeeping(self) -> None:
        self.housekeeping.poll(self.fleet.watchers)
        self.housekeeping.start()

    def _start_probes(self) -> None:
        self.probes.reconfigure(self.snapshot.settings.web)
        self.probes.start()

    def stop(self) -> None:
        """Stop all parts in reverse order, within 5 s."""
        begun = time.monotonic()
        log.info("stopping")
        self._stopping.set()
        while self._started:
            self._started.pop().stop()
        self.fleet.join(max(0.05, JOIN_PATIENCE - (time.monotonic() - begun)))
        self.courier.join(0.05)
        self.stores.database.close()
        log.info("stopped", seconds=round(time.monotonic() - begun, 1))

    # ------------------------------------------------------------ while it runs

    def _apply(self, snapshot: Snapshot, changes: Changes) -> None:
        """Put the next snapshot in force; called by the reload's thread."""
        before, self.snapshot = self.snapshot, snapshot
        self._findings.show(snapshot.findings)
        settings = before.settings, snapshot.settings
        everybody = any(getattr(settings[0], name) != getattr(settings[1], name) for name in WATCHERS_SETTINGS)
        self.fleet.apply(snapshot.accounts if everybody else changes.changed)
        self.housekeeping.poll(self.fleet.watchers)
        self.probes.reconfigure(snapshot.settings.web)
        self.sandbox.limit(limits_of(snapshot.settings))
        if changes.scripts:
            self.engine.scripts_changed(changes.scripts)
        self.bell.ring_all()  # an account that is back has mails waiting

    def _restart(self, account: str) -> None:
        """Have an account's watchers started anew, without waiting for the old ones."""
        threading.Thread(target=lambda: self._replace(account), name=f"restart-{account}", daemon=True).start()

    def _replace(self, account: str) -> None:
        self.fleet.apply([account])
        self.housekeeping.poll(self.fleet.watchers)

    def _signs(self) -> Iterator[Sign]:
        for watcher in self.fleet.watchers:
            yield Sign(
                mailbox=watcher.name,
                account=watcher.account,
                started=watcher.started_at,
                proved=watcher.proved_at,
                moved=watcher.moved_at,
                due=watcher.interval,
                failing=watcher.failing,
                alive=watcher.is_alive,
            )

    def stalled(self) -> list[str]:
        """Threads that should move and do not, in words."""
        now = time.monotonic()
        late = {"health": self.guard.moved_at, "reload": self.reload.moved_at}
        found = [f"{name}: still for {now - at:.0f} s" for name, at in late.items() if now - at > STALLED]
        threads = (*self.engine.threads, *self.courier.threads, self._commit_watch)
        found += [f"{thread.name}: ended" for thread in threads if not thread.is_alive()]
        return [*self.pulse.stalled(), *found]

    def _watch_commits(self) -> None:
        while not self._stopping.wait(WATCH_COMMITS):
            try:
                if why := self.stores.database.replaced():
                    self.problems.report(Problem("database", "database", why, _REPLACED))
                else:
                    self.problems.clear("database")
                if self.stores.database.others_committed():
                    self.problems.refresh()
                    self.bell.ring_all()
                if self.fleet.complete():
                    self.housekeeping.poll(self.fleet.watchers)
                self.problems.clear("commits")
            except StoreError as error:
                log.warning("commits of other processes go unnoticed for now", why=str(error))
            except Exception as error:  # the thread's own boundary
                log.exception("looking for commits failed")
                what = f"Commands beside the host go unnoticed: {type(error).__name__}: {error}"
                self.problems.report(Problem("commits", "host", what, "This is a fault of revscript: see the log."))
