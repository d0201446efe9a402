"""An HTTP(S) server that keeps the calls it gets and answers as the test says.

receiver.next(Reply(500), HttpReceiver.STALL)     # what the next two calls get; then 204 again
receiver.date = lambda: datetime(...)             # its clock, as it stands in `Date`
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from tests.servers import HOST, free_ports
from tests.servers.ca import CertificateAuthority, ServerCert


@dataclass(frozen=True)
class Call:
    """A call that came in whole."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    answered: str | int

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """An answer."""

    status: int = 204
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


class HttpReceiver:
    """Listens on 127.0.0.1 at `port`; with an authority it speaks TLS, with a certificate for localhost."""

    DROP: ClassVar[str] = "drop"
    """Close the connection without an answer."""
    STALL: ClassVar[str] = "stall"
    """Never answer."""
    TRICKLE: ClassVar[str] = "trickle"
    """A byte of the status line every 50 ms, without an end."""

    host = HOST

    def __init__(self, ca: CertificateAuthority | None = None, *, cert: ServerCert | None = None) -> None:
        self.port = free_ports(1)[0]
        self.date: Callable[[], datetime] | None = None
        self.default: Reply | str = Reply()
        self._cert = cert or (ca.issue() if ca else None)
        self._change = threading.Condition()
        self._calls: list[Call] = []
        self._answers: deque[Reply | str] = deque()
        self._server: _Server | None = None
        self.stopping = threading.Event()

    @property
    def url(self) -> str:
        """Its address, with a path that nobody should see."""
        return f"{'https' if self._cert else 'http'}://localhost:{self.port}/hook/s3cret-path"

    def start(self) -> HttpReceiver:
        """Start listening; returns itself."""
        self._server = _Server((HOST, self.port), _Handler)
        self._server.receiver = self
        if self._cert:
            context = self._cert.server_context()
            # The handshake is the handler's thread's: one client that does not trust us holds up nobody.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        threading.Thread(target=self._server.serve_forever, args=(0.02,), name="http-receiver", daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop listening."""
        self.stopping.set()
        if self._server:
            self._server.shutdown()
            self._server.server_close()

    def __enter__(self) -> HttpReceiver:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def next(self, *answers: Reply | str) -> None:
        """Script the answers to the next calls: a Reply, `DROP`, `STALL` or `TRICKLE`."""
        with self._change:
            self._answers.extend(answers)

    @property
    def calls(self) -> list[Call]:
        """Every call so far, whatever the answer was."""
        with self._change:
            return list(self._calls)

    def wait_for(self, count: int, timeout: float = 10.0) -> list[Call]:
        """Wait until at least `count` calls came; returns all, or raises TimeoutError."""
        with self._change:
            if not self._change.wait_for(lambda: len(self._calls) >= count, timeout):
                raise TimeoutError(f"{len(self._calls)} of {count} calls came within {timeout} s")
            return list(self._calls)

    def take(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply | str:
        """Note a call; returns the answer for it."""
        with self._change:
            answer = self._answers.popleft() if self._answers else self.default
            told = answer if isinstance(answer, str) else answer.status
            self._calls.append(Call(method, path, headers, body, told))
            self._change.notify_all()
        return answer


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    receiver: HttpReceiver

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away, or does not trust the certificate, is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]
    timeout = 20

    def do_GET(self) -> None:
        self._take()

    def do_HEAD(self) -> None:
        self._take()

    def do_POST(self) -> None:
        self._take()

    def _take(self) -> None:
        receiver = self.server.receiver
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = receiver.take(self.command, self.path, dict(self.headers.items()), body)
        self.close_connection = True
        if isinstance(answer, Reply):
            self._reply(answer)
        elif answer == HttpReceiver.STALL:
            receiver.stopping.wait(20)
        elif answer == HttpReceiver.TRICKLE:
            self._trickle()

    def _reply(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def _trickle(self) -> None:
        self.wfile.write(b"HTTP/1.1 ")
        until = time.monotonic() + 20
        while time.monotonic() < until and not self.server.receiver.stopping.wait(0.05):
            self.wfile.write(b".")

    def date_time_string(self, timestamp: float | None = None) -> str:
        date = self.server.receiver.date
        return format_datetime(date().astimezone(UTC), usegmt=True) if date else super().date_time_string(timestamp)

    def log_message(self, format: str, *args: object) -> None:
        """Tests look at the calls."""
