"""A small HTTP server (RFC 9110, RFC 9112) for answers that are made as a whole: GET and HEAD, one a connection.

SECURITY: see `probes.py`; the limits are kept here.
"""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from typing import Any

import structlog

MAX_HEAD = 8192  # bytes of request line and header fields
HEAD_WITHIN = 5.0  # s from the connection until the head is there
ANSWER_WITHIN = 5.0  # s in which the client must take the answer
MOST_CONNECTIONS = 32  # and threads
WAY_OUT_WITHIN = 0.1  # s that an ended connection's thread gets to make room

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    content_type: str
    body: bytes

    @classmethod
    def json(cls, status: int, value: object) -> Answer:
        """An answer in JSON."""
        return cls(status, "application/json", (json.dumps(value, ensure_ascii=False) + "\n").encode())

    @classmethod
    def text(cls, status: int, text: str) -> Answer:
        """An answer in plain text."""
        return cls(status, "text/plain; charset=utf-8", text.encode())


Route = Callable[[], Answer]


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Listens from the start; `serve` works. OSError when the address cannot be used. Port 0 is any free one."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, host: str, port: int, routes: Mapping[str, Route]) -> None:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_ADDRCONFIG
        )[0]
        self.address_family = family
        self.routes = routes
        self._guard = threading.Lock()
        self._slots = threading.BoundedSemaphore(MOST_CONNECTIONS)  # one for each thread
        self._open: OrderedDict[socket.socket, None] = OrderedDict()
        super().__init__((str(address[0]), int(address[1])), _Handler)

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self.server_address[1]

    def serve(self, seconds: float) -> None:
        """Take one connection, or wait that long for one."""
        self.timeout = seconds
        self.handle_request()

    def server_close(self) -> None:
        """Stop listening, and end all connections."""
        super().server_close()
        with self._guard:
            for connection in self._open:
                _end(connection)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Take a connection."""
        try:
            return super().get_request()
        except OSError:
            time.sleep(0.1)  # no file handles left: the connection waits on, and would be taken up at once again
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, for which the oldest makes room; while answers hang, nobody is taken on."""
        if not self._slots.acquire(blocking=False):
            self._end_oldest()
            if not self._slots.acquire(timeout=WAY_OUT_WITHIN):
                self.shutdown_request(request)
                return
        with self._guard:
            self._open[request] = None
        try:
            work = (request, client_address)
            threading.Thread(target=self.process_request_thread, args=work, name="web-request", daemon=True).start()
        except RuntimeError:  # no more threads: the caller ends the connection
            self._slots.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The thread of a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def _end_oldest(self) -> None:
        with self._guard:
            if self._open:
                oldest, _ = self._open.popitem(last=False)
                _end(oldest)

    def shutdown_request(self, request: Any) -> None:
        """The connection is through."""
        with self._guard:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """A client that goes away or breaks the rules is nobody's concern."""
        error = sys.exception()
        if isinstance(error, OSError):
            log.debug("request failed", client=client_address[0], why=str(error))
        else:
            log.warning("request failed", client=client_address[0], exc_info=error)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it has ended already
        connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """One connection, one request."""

    server: Server  # pyright: ignore[reportIncompatibleVariableOverride] - nobody else makes handlers
    server_version, sys_version = "revscript", ""
    default_request_version = "HTTP/1.0"  # an answer without a head would hide that it is an error

    def setup(self) -> None:
        """Read the head ourselves: the library would wait for each line anew."""
        super().setup()
        head = _read_head(self.connection)
        self.rfile = BytesIO(head)
        self.connection.settimeout(ANSWER_WITHIN)

    def do_GET(self) -> None:
        """Answer with a body."""
        self._answer()

    def do_HEAD(self) -> None:
        """Answer with the head alone."""
        self._answer()

    def _answer(self) -> None:
        route = self.server.routes.get(self.path.partition("?")[0])
        if route is None:
            self._send(Answer.text(404, f"There are {', '.join(self.server.routes)}.\n"))
        else:
            self._send(route())

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Say an error without quoting the request."""
        self._send(Answer.text(code, f"{HTTPStatus(code).phrase}\n"))

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if getattr(self, "command", None) != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say it where all is said."""
        log.debug("web", client=self.client_address[0], said=format % args)


def _read_head(connection: socket.socket) -> bytes:
    """The request's head, with what came along; OSError when it is too long, too late or broken off."""
    until, head = time.monotonic() + HEAD_WITHIN, b""
    while b"\r\n\r\n" not in head and b"\n\n" not in head:
        connection.settimeout(max(0.001, until - time.monotonic()))
        if len(head) > MAX_HEAD or not (piece := connection.recv(4096)):
            raise OSError("no request")
        head += piece
    return head
