"""Which threads move: each says when it will be heard of again, and one that is late is stuck."""

from __future__ import annotations

import threading
import time


class Pulse:
    """Marks of life of the host's threads, by monotonic time. Thread-safe."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._due: dict[str, float] = {}

    def beat(self, name: str, within: float) -> None:
        """`name` is alive, and will beat again within so many seconds."""
        with self._guard:
            self._due[name] = time.monotonic() + within

    def end(self, name: str) -> None:
        """`name` has ended, as it should."""
        with self._guard:
            self._due.pop(name, None)

    def stalled(self) -> list[str]:
        """Who should have been heard of by now, and since when, in words."""
        now = time.monotonic()
        with self._guard:
            late = {name: now - due for name, due in self._due.items() if due < now}
        return [f"{name}: no sign of life for {seconds:.0f} s more than allowed" for name, seconds in late.items()]
