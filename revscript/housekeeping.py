"""The clockwork: `schedule` rings when a mailbox is to be polled; the watchers do it.

`schedule` goes by the wall clock. A watcher therefore has a timer of its own, which polls when no bell came.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import schedule

from revscript.inbound.watch import Watcher

TICK = 0.2  # s


class Housekeeping:
    """The thread that runs the scheduled jobs."""

    def __init__(self, watchers: Sequence[Watcher]) -> None:
        self._scheduler = schedule.Scheduler()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)
        for watcher in watchers:
            # `schedule` counts in whole units, but takes fractions of a second as well.
            self._scheduler.every(watcher.interval).seconds.do(watcher.poll_now)  # pyright: ignore[reportArgumentType]

    def start(self) -> None:
        """Start ringing."""
        self._thread.start()

    def stop(self) -> None:
        """Stop ringing."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(TICK):
            self._scheduler.run_pending()
