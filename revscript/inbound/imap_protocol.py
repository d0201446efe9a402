"""imaplib's side of a connection: where the socket comes from, what has been read of it, and how long that may take.

imaplib reads through a buffer of its own, into which nobody can look: what a server announces together with an answer
lies there unseen, and a time-out in the middle of a line spoils it for good. Here the buffer is ours (as it is in
imaplib from Python 3.14 on).

SECURITY: an answer has a largest size and a latest time, bytes behind the answer to STARTTLS are an attack (they would
count as sent under TLS, CVE-2011-0411), and the library's log of the traffic is off.
"""

from __future__ import annotations

import contextlib
import imaplib
import math
import re
import ssl
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from revscript.errors import Downgrade
from revscript.net.cable import Cable

MOST_BYTES = 32 << 20  # of one command's answer: the largest that we ask for are 20 mails of 1 MiB
LONGEST_LINE = 16 << 20  # bytes: the SEARCH of a mailbox with two million mails
CLOSED = "the server has closed the connection"
READ = 16 << 10  # bytes: the largest record of TLS

_COUNT = re.compile(rb"\* (\d{1,10}) (EXISTS|EXPUNGE)\r\n", re.IGNORECASE)


class Protocol(imaplib.IMAP4):
    """`patience` are the seconds that the server may be silent; `news` counts its announcements of mails (EXISTS)."""

    def __init__(self, cable: Cable, host: str, port: int, context: ssl.SSLContext | None, timeout: float) -> None:
        self._cable = cable
        self._context = context
        self._left = MOST_BYTES
        self._unread = bytearray()
        self._searched = 0  # bytes of it that hold no end of a line
        self._ends = math.inf
        self.patience = timeout
        self.news = 0
        self.exists = 0  # mails in the folder, as far as the server has told
        super().__init__(host, port, timeout)

    def open(self, host: str = "", port: int = 143, timeout: float | None = None) -> None:
        """Connect; TLS from the first byte with a context."""
        self.host, self.port = host, port
        sock = self._cable.dial(host, port, timeout or self.patience)
        self.sock = self._context.wrap_socket(sock, server_hostname=host) if self._context else sock

    def starttls(self, ssl_context: ssl.SSLContext | None = None) -> Any:
        """STARTTLS (RFC 9051 §6.2.1) with a context that is given in any case."""
        assert ssl_context
        typ, data = self._simple_command("STARTTLS")  # pyright: ignore[reportAttributeAccessIssue]
        if typ != "OK":
            raise self.error(data[-1])
        if self._unread:
            raise Downgrade(
                f"{self.host}: somebody on the way has put in answers of their own before the encryption began.",
                hint="Another port (993) may help; tell the provider and whoever runs your network.",
            )
        self.sock = ssl_context.wrap_socket(self.sock, server_hostname=self.host)
        self._tls_established = True
        self._get_capabilities()  # pyright: ignore[reportAttributeAccessIssue]
        return typ, data

    def shutdown(self) -> None:
        """Close the socket; never waits."""
        with contextlib.suppress(OSError):
            self.sock.close()

    @contextmanager
    def within(self, seconds: float) -> Generator[None]:
        """Everything that is read in the block must have come by then; TimeoutError otherwise."""
        self._ends = time.monotonic() + seconds
        try:
            yield
        finally:
            self._ends = math.inf

    def send(self, data: Any) -> None:
        self._left = MOST_BYTES
        self.sock.settimeout(self.patience)
        self.sock.sendall(data)

    def _get_line(self) -> bytes:
        """imaplib's, without its log of the last lines: passwords and mails stand in it."""
        line = self.readline()
        if not line.endswith(b"\r\n"):
            raise self.abort("the connection ended in the middle of an answer" if line else CLOSED)
        return line[:-2]

    def _log(self, line: str) -> None:
        """Keep no commands either."""

    def readline(self) -> bytes:
        """One line; without its end where the connection has ended."""
        line = self._line_at_hand()
        while line is None:
            if len(self._unread) > LONGEST_LINE:
                raise self.error(f"the server sends a line of more than {LONGEST_LINE >> 20} MiB")
            line = self._line_at_hand() if self._fill() else self._cut(len(self._unread))
        self._take(len(line))
        self._count(line)
        return line

    def read(self, size: int) -> bytes:
        """A literal; shorter where the connection has ended."""
        self._take(size)
        while len(self._unread) < size and self._fill():
            pass
        return self._cut(size)

    def line_now(self) -> bytes | None:
        """A line that has come already, without CR LF; None when there is none. `abort` when the connection is dead."""
        line = self._line_at_hand()
        while line is None:
            try:
                if not self._receive(0):
                    raise self.abort(CLOSED)
            except (BlockingIOError, ssl.SSLWantReadError):
                return None
            line = self._line_at_hand()
        self._count(line)
        return line.rstrip(b"\r\n")

    def _line_at_hand(self) -> bytes | None:
        end = self._unread.find(b"\n", self._searched)
        if end < 0:
            self._searched = len(self._unread)
            return None
        return self._cut(end + 1)

    def _cut(self, size: int) -> bytes:
        with memoryview(self._unread) as view, view[:size] as head:
            data = bytes(head)
        del self._unread[:size]
        self._searched = 0
        return data

    def _fill(self) -> bool:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer takes too long")
        return self._receive(min(self.patience, left))

    def _receive(self, timeout: float) -> bool:
        """Whatever comes next; False when the connection has ended."""
        self.sock.settimeout(timeout)
        data = self.sock.recv(READ)
        self._unread += data
        return bool(data)

    def _count(self, line: bytes) -> None:
        if found := _COUNT.fullmatch(line):
            if found[2].upper() == b"EXISTS":
                self.exists = int(found[1])
                self.news += 1
            else:
                self.exists -= 1

    def _take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise self.abort(f"the server sends more than {MOST_BYTES >> 20} MiB where less was asked for")
