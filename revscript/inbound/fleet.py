"""All watchers of a host: started, stopped and replaced as the accounts change."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection

import structlog

from revscript.config import Account
from revscript.errors import RevscriptError
from revscript.inbound.watch import Watcher
from revscript.model import Problem, ProblemSink
from revscript.snapshot import Snapshot

SETTINGS = frozenset({"network", "backoff", "push", "hard_cap"})  # what watchers depend on beside their account
RETRY = 5.0  # s
STOP_PATIENCE = 1.0  # s for a watcher that is replaced to let go of its server

log = structlog.get_logger()

Build = Callable[[Account, Snapshot], list[Watcher]]


class Fleet:
    """`build` makes an account's watchers, one a folder; `current` gives the snapshot in force."""

    def __init__(self, build: Build, current: Callable[[], Snapshot], problems: ProblemSink) -> None:
        self._build = build
        self._current = current
        self._problems = problems
        self._turn = threading.Lock()  # one change at a time
        self._guard = threading.Lock()
        self._watchers: dict[str, list[Watcher]] = {}
        self._unbuilt: set[str] = set()  # accounts
        self._retry_at: float | None = None  # monotonic
        self._stopping = False

    @property
    def watchers(self) -> list[Watcher]:
        """All that run now."""
        with self._guard:
            return [watcher for watchers in self._watchers.values() for watcher in watchers]

    def apply(self, stale: Collection[str] = ()) -> None:
        """Bring the watchers up to the snapshot in force; those of `stale` accounts are replaced, all others stay."""
        with self._turn:
            snapshot = self._current()  # not before it is our turn: an older one must not win
            wanted = {name: account for name, account in snapshot.accounts.items() if account.enabled}
            with self._guard:
                gone = [name for name in self._watchers if name not in wanted or name in stale]
                leaving = [watcher for name in gone for watcher in self._watchers.pop(name)]
            self._let_go(leaving)
            self._retry_at = None
            for name in self._unbuilt - wanted.keys():
                self._built_at_last(name)
            new = {name: self._built(wanted[name], snapshot) for name in wanted.keys() - self._watchers.keys()}
            self._succeed(leaving, [one for watchers in new.values() for one in watchers])
            self._start({name: watchers for name, watchers in new.items() if watchers})

    def complete(self) -> bool:
        """Try again what could not be built, after a pause → whether it was tried."""
        if self._retry_at is None or time.monotonic() < self._retry_at:
            return False
        self.apply()
        return True

    def _built(self, account: Account, snapshot: Snapshot) -> list[Watcher]:
        try:
            watchers = self._build(account, snapshot)
        except Exception as error:  # mostly the database, or no descriptor is left; the other accounts go on
            if not isinstance(error, RevscriptError):
                log.exception("an account cannot be watched", account=account.name)
            self._unbuilt.add(account.name)
            self._retry_at = time.monotonic() + RETRY
            self._problems.report(_unwatched(account.name, error))
            return []
        self._built_at_last(account.name)
        return watchers

    def _built_at_last(self, name: str) -> None:
        self._unbuilt.discard(name)
        self._problems.clear(f"unwatched:{name}")

    def _succeed(self, leaving: list[Watcher], new: list[Watcher]) -> None:
        """Hand on what those who leave know of their servers."""
        heirs = {(one.name, one.mailbox_id): one for one in new}
        for watcher in leaving:
            heir = heirs.get((watcher.name, watcher.mailbox_id))
            if heir is not None:
                heir.take_over(watcher)
            watcher.forget(replaced=heir is not None)

    def _start(self, new: dict[str, list[Watcher]]) -> None:
        with self._guard:
            if self._stopping:
                return
            self._watchers |= new
        for watchers in new.values():
            for watcher in watchers:
                watcher.start()

    def _let_go(self, watchers: list[Watcher]) -> None:
        """Stop them. One that hangs on a name server is left behind: the ledger keeps two from doing a mail twice."""
        for watcher in watchers:
            watcher.stop()
        until = time.monotonic() + STOP_PATIENCE
        for watcher in watchers:
            watcher.join(max(0.0, until - time.monotonic()))

    def stop(self) -> None:
        """Ask all to end."""
        with self._guard:
            self._stopping = True
        for watcher in self.watchers:
            watcher.stop()

    def join(self, timeout: float) -> None:
        """Wait for their ends, for all together at most that long."""
        until = time.monotonic() + timeout
        for watcher in self.watchers:
            watcher.join(max(0.05, until - time.monotonic()))


def _unwatched(account: str, error: Exception) -> Problem:
    known = isinstance(error, RevscriptError)
    what = str(error) if known else f"{type(error).__name__}: {error}"
    way_out = error.hint if known else "See the log."
    return Problem(
        f"unwatched:{account}", f"account {account}", f"It is not watched: {what}", f"{way_out} It is tried again."
    )
