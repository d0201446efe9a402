"""The guard: the threads that watch over the host itself.

`health` looks every few seconds at the clock, the mailboxes, the watchers and the canaries, and asks only the database.
What waits for somebody outside has threads of its own: `heartbeat`, `alert-mail`, `alert-webhook`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

from revscript.errors import StoreError
from revscript.health.canary import CanaryFlights
from revscript.health.clock import HostClock
from revscript.health.escalation import Path as AlertPath
from revscript.health.heartbeat import Heartbeat
from revscript.health.problems import Problems
from revscript.health.silence import Sign, Silence, Watchdog
from revscript.health.ways import ByMail, ByWebhook
from revscript.model import Clock, Problem
from revscript.outbound.alert import DirectMail
from revscript.outbound.courier import Deliverer
from revscript.outbound.webhook import Web
from revscript.snapshot import Snapshot
from revscript.store.bell import Bell
from revscript.store.canary import Canaries
from revscript.store.database import Database

TICK = 2.0  # s between rounds
SILENCE_EVERY = 20.0  # s between looks for silent accounts: each costs two questions to the database
STILL = 60.0  # s without a round after which the host does not count as well
JOIN = 1.0  # s that all threads together get for their end

log = structlog.get_logger()


class Guard:
    """All of the watch. `snapshot` is asked anew each round, so that changed settings are in force at once.

    `signs` are those of the watchers that should run; `restart(account)` has an account's watchers started anew and
    does not wait; `well` tells whether the host's other threads live.
    """

    def __init__(
        self,
        *,
        root: Path,
        database: Database,
        canaries: Canaries,
        mail: Deliverer,
        bell: Bell,
        problems: Problems,
        host_clock: HostClock,
        snapshot: Callable[[], Snapshot],
        signs: Callable[[], Iterable[Sign]],
        restart: Callable[[str], None],
        well: Callable[[], bool],
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._problems = problems
        self._host_clock = host_clock
        self._snapshot = snapshot
        self._signs = signs
        self._well = well
        self._monotonic = monotonic
        self._silence = Silence(database, problems, clock, lambda: host_clock.trusted)
        self._watchdog = Watchdog(problems, restart, monotonic)
        self._canaries = CanaryFlights(database, canaries, bell, problems, clock, monotonic)

        def web() -> Web:
            return Web(root, lambda: snapshot().settings.network, clock)

        self._heartbeat = Heartbeat(
            web(), lambda: snapshot().settings.heartbeat, self.is_well, problems, host_clock, monotonic
        )
        self._paths = [
            AlertPath(way, database.instance_id, snapshot, problems, monotonic)
            for way in (ByMail(DirectMail(mail, clock)), ByWebhook(web(), host_clock))
        ]
        self._silence_at = 0.0
        self._store_failed = False
        self._faults: dict[str, str] = {}  # part → what it failed with
        self.moved_at = monotonic()  # the last round, for `/livez`
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self.moved_at = self._monotonic()
        self._thread.start()
        for one in (self._heartbeat, *self._paths):
            one.start()

    def stop(self) -> None:
        """End the watch; what hangs on somebody outside is left behind."""
        self._stop.set()
        for one in (self._heartbeat, *self._paths):
            one.stop()
        until = time.monotonic() + JOIN
        for one in (self._thread, self._heartbeat, *self._paths):
            one.join(max(0.0, until - time.monotonic()))

    def is_well(self) -> bool:
        """Whether the host may say outside that all is well.

        No error stands, its threads move, and each mailbox has been looked into since it is watched: a host that dies
        again and again soon after its start must not call.
        """
        moves = self._monotonic() - self.moved_at < STILL and self._well()
        proved = all(sign.proved is not None for sign in self._signs())
        return moves and proved and not self._problems.errors()

    def _run(self) -> None:
        while not self._stop.wait(TICK):
            self.round()

    def round(self) -> None:
        """One look at everything. Never raises."""
        snapshot, failed = self._snapshot(), self._store_failed
        self._store_failed = False
        self._part("clock", self._host_clock.check)
        self._part("watchers", lambda: self._watchdog.check(self._signs()))
        if self._monotonic() >= self._silence_at and self._part("silence", lambda: self._silence.check(snapshot)):
            self._silence_at = self._monotonic() + SILENCE_EVERY  # what failed is looked at in the next round
        self._part("canaries", lambda: self._canaries.check(snapshot))
        self._problems.flush()
        if failed and not self._store_failed and self._problems.written:
            self._problems.clear("store")  # it was asked, and written to, just now
        self.moved_at = self._monotonic()

    def _part(self, name: str, check: Callable[[], None]) -> bool:
        """The guard's own boundary: what fails in one part keeps no other from looking → whether it worked."""
        try:
            check()
        except StoreError as error:
            self._store_failed = True
            self._problems.report(Problem("store", "database", str(error), error.hint))
        except Exception as error:
            fault = f"{type(error).__name__}: {error}"
            if self._faults.get(name) != fault:  # not in each round anew
                log.exception("a check failed", part=name)
            self._faults[name] = fault
            what = f"The check of {name} failed: {fault}"
            self._problems.report(Problem(f"check:{name}", "revscript", what, "A fault of revscript: see the log."))
        else:
            self._faults.pop(name, None)
            self._problems.clear(f"check:{name}")
            return True
        return False
