"""TCP connections that a deadline, or another thread, can cut.

A time-out counts from byte to byte: a server that trickles holds its reader for ever, and a clean stop cannot wait for
one that is silent. Shutting a socket down ends both at once.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager


class Cable:
    """One connection at a time: `dial` makes it, `cut` ends it and all later ones, from any thread."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        # A duplicate: it stays what it is when TLS is wrapped around the other. (SECURITY: SSLSocket.shutdown takes
        # the encryption away first; a thread that is sending would go on in clear text.)
        self._handle: socket.socket | None = None
        self._was_cut = False

    def dial(self, host: str, port: int, timeout: float) -> socket.socket:
        """Connect to the first address of the host that answers; OSError otherwise, or after `cut`."""
        failure = OSError(f"{host} has no address")
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            sock = socket.socket(family, kind, protocol)
            try:
                self._hold(sock)
                sock.settimeout(timeout)
                sock.connect(address)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                return sock
            except OSError as error:
                failure = error
                sock.close()
        raise failure

    def _hold(self, sock: socket.socket) -> None:
        with self._guard:
            if self._was_cut:
                raise OSError("the connection was cut because revscript stops")
            if self._handle is not None:
                self._handle.close()
            self._handle = sock.dup()

    def cut(self) -> None:
        """End the connection, and let no new one be made: whoever waits for the server gets an error now."""
        with self._guard:
            self._was_cut = True
            self._shut_down()

    @contextmanager
    def deadline(self, seconds: float) -> Generator[None]:
        """Cut the connection when the block takes longer; its error is a TimeoutError then."""
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            with self._guard:
                self._shut_down()

        timer = threading.Timer(seconds, expire)
        timer.daemon = True
        timer.start()
        try:
            yield
        except Exception as error:
            if expired.is_set():
                raise TimeoutError(f"took longer than {seconds:.0f} s") from error
            raise
        finally:
            timer.cancel()

    def close(self) -> None:
        """End the present connection; `dial` may make another."""
        with self._guard:
            self._shut_down()
            if self._handle is not None:
                self._handle.close()
                self._handle = None

    def _shut_down(self) -> None:
        if self._handle is not None:
            with contextlib.suppress(OSError):  # it was never connected, or the other side is gone
                self._handle.shutdown(socket.SHUT_RDWR)
