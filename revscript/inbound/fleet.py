"""All watchers of a host: started, stopped and replaced as the accounts change."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection

from revscript.config import Account
from revscript.errors import RevscriptError
from revscript.inbound.watch import Watcher
from revscript.model import Problem, ProblemSink
from revscript.snapshot import Snapshot

SETTINGS = frozenset({"network", "backoff", "push", "hard_cap"})  # what watchers depend on beside their account
RETRY = 5.0  # s
STOP_PATIENCE = 1.0  # s for a watcher that is replaced to let go of its server

Build = Callable[[Account, Snapshot], list[Watcher]]


class Fleet:
    """`build` makes an account's watchers, one a folder."""

    def __init__(self, build: Build, problems: ProblemSink) -> None:
        self._build = build
        self._problems = problems
        self._turn = threading.Lock()  # one change at a time
        self._guard = threading.Lock()
        self._watchers: dict[str, list[Watcher]] = {}
        self._retry_at: float | None = None  # monotonic: an account could not be built
        self._stopping = False

    @property
    def watchers(self) -> list[Watcher]:
        """All that run now."""
        with self._guard:
            return [watcher for watchers in self._watchers.values() for watcher in watchers]

    def apply(self, snapshot: Snapshot, stale: Collection[str] = ()) -> None:
        """Bring the watchers up to the snapshot; those of `stale` accounts are replaced, all others stay."""
        with self._turn:
            wanted = {name: account for name, account in snapshot.accounts.items() if account.enabled}
            with self._guard:
                gone = [name for name in self._watchers if name not in wanted or name in stale]
                leaving = [watcher for name in gone for watcher in self._watchers.pop(name)]
            self._let_go(leaving)
            self._retry_at = None
            new = {name: self._built(wanted[name], snapshot) for name in wanted.keys() - self._watchers.keys()}
            successors = {(one.name, one.mailbox_id) for watchers in new.values() for one in watchers}
            for watcher in leaving:
                watcher.forget(replaced=(watcher.name, watcher.mailbox_id) in successors)
            self._start({name: watchers for name, watchers in new.items() if watchers})

    def complete(self, snapshot: Snapshot) -> None:
        """Try again what could not be built, after a pause."""
        if self._retry_at is not None and time.monotonic() >= self._retry_at:
            self.apply(snapshot)

    def _built(self, account: Account, snapshot: Snapshot) -> list[Watcher]:
        try:
            return self._build(account, snapshot)
        except RevscriptError as error:  # the database, mostly; the other accounts go on
            self._retry_at = time.monotonic() + RETRY
            where, what = f"account {account.name}", f"It is not watched: {error}"
            self._problems.report(Problem(f"mailbox:{account.name}", where, what, f"{error.hint} It is tried again."))
            return []

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
