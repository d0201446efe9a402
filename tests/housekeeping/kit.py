"""What stands in for the rest of the host."""

from __future__ import annotations

import threading

from revscript.model import Problem


class Sink:
    """A `ProblemSink` that remembers."""

    def __init__(self) -> None:
        self.standing: dict[str, Problem] = {}
        self.cleared: list[str] = []

    def report(self, problem: Problem) -> None:
        """It stands now."""
        self.standing[problem.key] = problem

    def clear(self, key: str) -> None:
        """It is over."""
        self.cleared.append(key)
        self.standing.pop(key, None)


class Box:
    """Something that is polled."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self.rung = 0
        self.threads: set[str] = set()

    def poll_now(self) -> None:
        """Counted."""
        self.rung += 1
        self.threads.add(threading.current_thread().name)
