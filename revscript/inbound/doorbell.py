"""What wakes a watcher, wherever it waits: also while it listens to its server.

A descriptor beside the socket, so that one `poll` waits for both; `select` knows only the first 1024 descriptors.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time


class Doorbell:
    """Rung by any thread, waited for by one."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._open = True

    def ring(self) -> None:
        """Wake who waits now or next; nothing happens after `close`."""
        with self._guard:
            if self._open:
                os.eventfd_write(self._descriptor, 1)

    def hush(self) -> None:
        """Forget all rings so far."""
        with contextlib.suppress(BlockingIOError):  # it was not rung
            os.eventfd_read(self._descriptor)

    def wait(self, until: float, sock: socket.socket | None = None) -> bool:
        """Until it is rung, the socket has something to read, or the time (monotonic) has come → whether the socket.

        A bell that was rung before and not hushed ends the wait at once.
        """
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        if sock is not None:
            poll.register(sock, select.POLLIN)
        left = max(0.0, until - time.monotonic())
        ready = poll.poll(min(left, 86_400.0) * 1000)
        return any(descriptor != self._descriptor for descriptor, _ in ready)

    def close(self) -> None:
        """Let the descriptor go; nobody may wait any more."""
        with self._guard:
            if self._open:
                self._open = False
                os.close(self._descriptor)
