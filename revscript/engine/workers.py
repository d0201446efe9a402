"""Mails on their way from `received` to `done`: read → claim → run → commit, with tries and quarantine.

An account's mails run in the order in which they arrived, accounts run in parallel. A worker takes one mail of a free
account and does what is due for it; workers with nothing to run read ahead, because reading needs no order.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

import structlog

from revscript.engine.case import due
from revscript.engine.healing import Healing
from revscript.engine.people import PeoplesWork
from revscript.engine.problems import broken, later, orphaned, quarantined, stepped_aside
from revscript.engine.reading import RawDamaged
from revscript.engine.trying import Trying
from revscript.errors import JailBroken, RevscriptError, StoreError
from revscript.model import Clock, ProblemSink
from revscript.sandbox import Sandbox
from revscript.snapshot import Snapshot
from revscript.store import task_problems
from revscript.store.bell import Bell
from revscript.store.healable import Healable
from revscript.store.ledger import Ledger
from revscript.store.quarantine import Quarantine
from revscript.store.recovery import INTERRUPTED, recover

AHEAD = 50  # mails of an account that are looked up at once
LONGEST_WAIT = 30.0  # s until an idle worker looks into the store by itself
BROKEN_PAUSES = (1, 2, 5, 10, 30)  # s after the jail or the store failed

log = structlog.get_logger()


class Engine:
    """The workers. `snapshot` gives the configuration now in force."""

    def __init__(
        self,
        ledger: Ledger,
        trying: Trying,
        sandbox: Sandbox,
        snapshot: Callable[[], Snapshot],
        bell: Bell,
        problems: ProblemSink,
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self.trying = trying
        self._sandbox = sandbox
        self._snapshot = snapshot
        self._problems = problems
        self._clock = clock
        self._news = threading.Condition()
        self._stopping = False
        self.healing = Healing(Healable(ledger.database), problems, clock, trying.clock_trusted)
        self._people = PeoplesWork(Quarantine(ledger.database))
        self._others = False  # another process has committed
        self._stale = True  # the backlog below may lack something that the store has
        self._backlog: dict[str, deque[int]] = {}
        self._unread: deque[int] = deque()
        self._unread_stale = True  # likewise, of the unread mails
        self._orphans: set[str] = set()  # accounts with work whose file is gone
        self._busy: set[str] = set()
        self._in_work: set[int] = set()  # mails
        self._reading_ahead = False  # one at a time: more of them only slow down those that run
        self._paused: dict[str, tuple[float, int]] = {}  # account → (monotonic time, failures in a row)
        self._threads: list[threading.Thread] = []
        bell.listen("received", self._wake)

    @property
    def threads(self) -> Sequence[threading.Thread]:
        """The workers, once started."""
        return self._threads

    def start(self, workers: int) -> None:
        """Take up what the last run left behind and start the workers."""
        self._recover()
        self._people.begin()
        self.healing.script_changed(self._snapshot().scripts)  # while no host ran, for all we know
        for number in range(workers):
            thread = threading.Thread(target=self._work, name=f"engine-{number}")
            thread.start()
            self._threads.append(thread)

    def _recover(self) -> None:
        found = recover(self._ledger.database, self._clock())
        if found.waiting:
            log.info("recovered", tasks=found.waiting)
        for one in found.aside:
            log.warning("stepped aside", mail=one.task.mail_id, task=one.task.id, until=later(one.until))
            self._problems.report(stepped_aside(one))
        for task in found.poisoned:
            log.warning("quarantined", mail=task.mail_id, task=task.id, by=task.method, reason=INTERRUPTED)
            self._problems.report(quarantined(task, task.method, INTERRUPTED))
        for task, reason in task_problems.untold(self._ledger.database):  # the last run died before it told of it
            self._problems.report(quarantined(task, task.method, reason))
        for key in task_problems.settled(self._ledger.database):
            self._problems.clear(key)

    def scripts_changed(self, names: Iterable[str]) -> None:
        """These scripts of the snapshot now in force have another content than before (libraries, tables included).

        What their older versions failed on is tried again, as far as it heals by itself.
        """
        self.healing.script_changed(names)
        self._wake("")

    def stop(self, patience: float) -> None:
        """Let running tries end within `patience` seconds; then they are broken off, uncounted."""
        with self._news:
            self._stopping = True
            self._news.notify_all()
        deadline = time.monotonic() + patience
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._sandbox.stop()
        for thread in self._threads:
            thread.join()

    def _wake(self, about: str | None) -> None:
        with self._news:
            self._others = self._others or about is None
            self._stale = True
            self._news.notify()  # one looks, and wakes the next one when there is more to do

    # ------------------------------------------------------------ choosing

    def _work(self) -> None:
        while job := self._next_job():
            job()

    def _next_job(self) -> Callable[[], None] | None:
        """Wait for something to do; None when the engine stops."""
        with self._news:
            while not self._stopping:
                try:
                    if job := self._choose():
                        if self._unread or any(self._backlog.values()):
                            self._news.notify()
                        return job
                    wait = self._until_next()
                except Exception as error:  # noqa: BLE001 - a worker never dies of looking for work
                    wait = BROKEN_PAUSES[0]
                    self._stale = True
                    self._report(error)
                self._news.wait(wait)
        return None

    def _report(self, error: Exception) -> None:
        if not isinstance(error, RevscriptError):
            log.exception("engine failed")
        self._problems.report(broken(error))

    def _choose(self) -> Callable[[], None] | None:
        if self._stale:
            self._refill()
        now = time.monotonic()
        for account, mails in self._backlog.items():
            if mails and account not in self._busy and self._paused.get(account, (0.0, 0))[0] <= now:
                self._busy.add(account)
                self._backlog[account] = self._backlog.pop(account)  # to the end: accounts take turns
                mail_id = mails.popleft()
                self._stale = self._stale or not mails
                self._in_work.add(mail_id)
                return lambda: self._run_mail(account, mail_id)
        if not self._unread and self._unread_stale:
            # Those in work are being read already, and nobody waits for them.
            self._unread.extend(one for one in self._ledger.unread(AHEAD) if one not in self._in_work)
            self._unread_stale = False
        if self._unread and not self._reading_ahead and self.trying.reader.has_room():
            mail_id = self._unread.popleft()
            self._stale = self._stale or not self._unread
            self._reading_ahead = True
            return lambda: self._read_ahead(mail_id)
        return None

    def _refill(self) -> None:
        self.trying.rescue()
        snapshot = self._snapshot()
        if self._others:
            self._people.tell()
            self.healing.look_again()
            self._others = False
        self.healing.step(snapshot)
        for account in self._orphans & snapshot.accounts.keys():
            self._orphans.discard(account)
            self._problems.clear(f"orphaned:{account}")
        now_due = due(snapshot.settings.tries, self._clock())
        for account in self._ledger.accounts_with_work(now_due):
            if account not in snapshot.accounts:
                self._orphans.add(account)
                self._problems.report(orphaned(account))
            elif not self._backlog.get(account):
                self._backlog[account] = deque(self._ledger.mails_with_work(account, now_due, AHEAD))
        self._stale, self._unread_stale = False, True

    def _until_next(self) -> float:
        pauses = [until - time.monotonic() for until, _ in self._paused.values()]
        wait = min([LONGEST_WAIT, *(pause for pause in pauses if pause > 0)])
        now = self._clock()
        if (next_due := self._ledger.next_due(now)) is not None:
            wait = min(wait, (next_due - now).total_seconds())
        self._stale = True  # what is due by then is not in the backlog
        return max(wait, 0.01)

    # ------------------------------------------------------------ working

    def _run_mail(self, account: str, mail_id: int) -> None:
        try:
            self.trying.work(mail_id, self._snapshot(), lambda: self._stopping)
            with self._news:
                self._paused.pop(account, None)
            for key in ("jail", "store", "engine"):  # all three have just worked
                self._problems.clear(key)
        except (JailBroken, StoreError) as error:
            self._broken(account, error)
        except Exception as error:  # the engine's own boundary: one mail never stops another
            log.exception("engine failed", mail=mail_id)
            self._broken(account, error)
        finally:
            with self._news:  # nobody is woken: this worker looks for the next mail itself
                self._busy.discard(account)
                self._in_work.discard(mail_id)
                self._stale = self._stale or self.healing.active

    def _read_ahead(self, mail_id: int) -> None:
        try:
            self.trying.reader.read_ahead(mail_id, self._snapshot().settings)
        except RawDamaged:
            time.sleep(BROKEN_PAUSES[0])  # told of, and set aside, when its turn comes
        except Exception as error:  # noqa: BLE001 - a boundary like that of `_run_mail`
            self._report(error)
            time.sleep(BROKEN_PAUSES[0])
        finally:
            self._reading_ahead = False

    def _broken(self, account: str, error: Exception) -> None:
        """Not the mail's fault: pause the account, a little longer each time; nothing was counted."""
        if self._stopping:
            return
        failures = self._paused.get(account, (0.0, 0))[1]
        pause = BROKEN_PAUSES[min(failures, len(BROKEN_PAUSES) - 1)]
        with self._news:
            self._paused[account] = (time.monotonic() + pause, failures + 1)
            self._backlog.pop(account, None)
            self._stale = True
        log.warning("account paused", account=account, seconds=pause, why=str(error))
        self._problems.report(broken(error))
