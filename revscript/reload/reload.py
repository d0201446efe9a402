"""The thread that makes changed files the next snapshot.

Events only ring. A look every 2 s finds what events missed, a comparison of all contents every 30 s what the look
missed. The files are taken when they have been quiet for a moment, and only if they did not change while they were
read: a snapshot is a state in which they lay there together. Timers are monotonic: a clock that jumps changes nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

from revscript.errors import JailBroken
from revscript.model import Problem, ProblemSink
from revscript.reload.changes import Changes, changes
from revscript.reload.places import digest, places, signature
from revscript.reload.watching import Watching
from revscript.snapshot import Instance, Snapshot

QUIET = 0.3  # s without an event, after which the files are read …
LONGEST = 0.7  # s … or so long after the first one
SWEEP = 2.0  # s between looks at names, sizes and times
COMPARE = 30.0  # s between comparisons of all contents
SOON = 0.5  # s until the contents are compared once more after a change: see `places`
STOP_PATIENCE = 1.0  # s
RETRIES = 20  # readings of files that change meanwhile, before a pause

log = structlog.get_logger()

Load = Callable[[Snapshot | None], Snapshot]
Apply = Callable[[Snapshot, Changes], None]


class Reload:
    """Calls `apply` in its own thread with each new snapshot. `current` is the one in force."""

    def __init__(
        self, instance: Instance, load: Load, current: Callable[[], Snapshot], apply: Apply, problems: ProblemSink
    ) -> None:
        self._instance = instance
        self._load = load
        self._current = current
        self._apply = apply
        self._problems = problems
        self._places = places(instance)
        self._news = threading.Event()
        self._stopping = False
        self._watching = Watching(self._places, self._news.set, problems)
        self._signature = signature(self._places)
        self._digest = b""
        self._half_applied = False
        self._compare_at = 0.0  # monotonic; at once: something may have changed since the first snapshot was read
        self.moved_at = time.monotonic()  # when the thread last went through its loop
        self._thread = threading.Thread(target=self._run, name="reload", daemon=True)

    def start(self) -> None:
        """Start watching."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._stopping = True
        self._news.set()
        self._thread.join(STOP_PATIENCE)  # it may wait for the jail or the database; then it is left behind

    # ------------------------------------------------------------ when to look

    def _run(self) -> None:
        while not self._stopping:
            self.moved_at = time.monotonic()
            try:
                self._round()
            except JailBroken as error:
                self._problems.report(_broken_jail(error))
                self._again_later()
            except Exception as error:  # the thread's own boundary: changes must not go unseen for ever
                log.exception("reload failed")
                self._problems.report(_fault(error))
                self._again_later()
        self._watching.stop()

    def _again_later(self) -> None:
        """Read anew at the next look, whatever it sees."""
        self._digest = b""
        self._news.clear()
        self._news.wait(SWEEP)

    def _round(self) -> None:
        self._watching.renew()
        if self._news.wait(SWEEP):
            self._wait_for_quiet()
            self._take()
        elif (now := signature(self._places)) != self._signature or not self._digest:
            self._signature = now
            self._wait_for_quiet()
            self._take()
        elif time.monotonic() >= self._compare_at:
            self._compare()

    def _wait_for_quiet(self) -> None:
        until = time.monotonic() + LONGEST
        while not self._stopping:
            self._news.clear()
            left = until - time.monotonic()
            if left <= 0 or not self._news.wait(min(QUIET, left)):
                return

    def _compare(self) -> None:
        self._compare_at = time.monotonic() + COMPARE
        if self._contents() != self._digest:
            self._take()

    # ------------------------------------------------------------ taking

    def _contents(self) -> bytes:
        accounts = self._current().accounts.values()
        return digest(self._places, {self._instance.root / one.ca_file for one in accounts if one.ca_file})

    def _take(self) -> None:
        if self._stopping:
            return
        begun = time.monotonic()
        for _ in range(RETRIES):
            looks, contents = signature(self._places), self._contents()
            snapshot = self._load(self._current())
            if signature(self._places) == looks:
                break
        else:
            self._news.set()  # somebody writes all the time: not a state in which the files lay there together
            return
        if self._stopping:
            return
        self._signature, self._digest = looks, contents
        self._compare_at = time.monotonic() + SOON
        for key in ("reload", "jail"):
            self._problems.clear(key)
        before = self._current()
        if snapshot == before and not self._half_applied:
            return
        difference = changes(before, snapshot)
        self._half_applied = True  # until it is through: what has failed on the way is done once more
        self._apply(snapshot, difference)
        self._half_applied = False
        if difference:
            seconds = round(time.monotonic() - begun, 3)
            log.info("reloaded", changes=list(difference.words), snapshot=snapshot.sha256[:12], seconds=seconds)


def _broken_jail(error: JailBroken) -> Problem:
    return Problem("jail", "jail", str(error), "Changed scripts are taken when they can be checked again; see the log.")


def _fault(error: Exception) -> Problem:
    return Problem(
        "reload",
        "hot reload",
        f"Changed files cannot be taken: {type(error).__name__}: {error}",
        "What was in force stays in force. It is tried again; if it stays so, see the log.",
    )
