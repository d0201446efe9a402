"""An SMTP server that keeps what it gets and answers as the test says.

sink.next_data("452 4.2.2 full", SmtpSink.DROP)     # what the next two DATA get; then 250 again
temp451@any.example, perm550@any.example            # recipients that are refused with this code
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.servers import HOST, free_ports
from tests.servers.ca import CertificateAuthority

Security = Literal["plain", "starttls", "implicit"]
_ACCEPTED = "250 2.0.0 kept"
_REFUSED = re.compile(r"(?:temp|perm)(\d)(\d\d)")


@dataclass(frozen=True)
class Received:
    """One DATA command that came to its end."""

    sender: str
    recipients: tuple[str, ...]
    raw: bytes
    """As it came, CRLF, dots unstuffed."""
    at: float
    """`time.monotonic()`."""
    login: str | None
    tls: bool
    answer: str
    """The scripted answer, `SmtpSink.DROP` or `SmtpSink.STALL`."""

    @property
    def kept(self) -> bool:
        """Whether the server took the responsibility; the sender need not have heard of it."""
        return self.answer.startswith("2") or self.answer == SmtpSink.DROP


class SmtpSink:
    """Listens on 127.0.0.1 at `port`; with `login` it demands AUTH PLAIN or LOGIN first."""

    DROP: ClassVar[str] = "drop"
    """Keep the mail, then close the connection instead of answering 250."""
    STALL: ClassVar[str] = "stall"
    """Don't keep the mail and never answer."""

    host = HOST

    def __init__(
        self,
        ca: CertificateAuthority | None = None,
        *,
        security: Security = "plain",
        login: tuple[str, str] | None = None,
        size_limit: int = 32 * 1024 * 1024,
    ) -> None:
        self.ca = ca or CertificateAuthority()
        self.security: Security = security
        self.port = free_ports(1)[0]
        self._login = login
        self._size_limit = size_limit
        self._change = threading.Condition()
        self._attempts: list[Received] = []
        self._answers: deque[str] = deque()
        self._controller: _Controller | None = None

    def start(self) -> SmtpSink:
        """Start listening; returns itself."""
        context = None if self.security == "plain" else self.ca.issue().server_context()
        self._controller = _Controller(
            _Handler(self),
            hostname=self.host,
            port=self.port,
            ssl_context=context if self.security == "implicit" else None,
            tls_context=context if self.security == "starttls" else None,
            require_starttls=self.security == "starttls",
            server_hostname="sink.example",
            data_size_limit=self._size_limit,
            authenticator=self._authenticate,
            auth_require_tls=self.security == "starttls",
            auth_exclude_mechanism=() if self._login else ("LOGIN", "PLAIN"),
        )
        self._controller.start()
        return self

    def stop(self) -> None:
        """Close every connection and stop listening."""
        controller, self._controller = self._controller, None
        if controller:
            controller.hang_up()
            controller.stop()

    def __enter__(self) -> SmtpSink:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def messages(self) -> list[Received]:
        """The mails kept so far, in their order; also those whose 250 never left."""
        return [attempt for attempt in self.attempts if attempt.kept]

    @property
    def attempts(self) -> list[Received]:
        """Every DATA command so far, whatever the answer was."""
        with self._change:
            return list(self._attempts)

    def clear(self) -> None:
        """Forget all attempts and scripted answers."""
        with self._change:
            self._attempts.clear()
            self._answers.clear()

    def next_data(self, *answers: str) -> None:
        """Script the answers to the next DATA commands: an SMTP reply, `DROP` or `STALL`."""
        with self._change:
            self._answers.extend(answers)

    def wait_for(self, count: int, timeout: float = 10.0) -> list[Received]:
        """Wait until at least `count` mails were kept; returns all, or raises TimeoutError."""
        with self._change:
            if not self._change.wait_for(lambda: len(self.messages) >= count, timeout):
                raise TimeoutError(f"{len(self.messages)} of {count} mails came within {timeout} s")
            return self.messages

    def may_send(self, session: Session) -> bool:
        """Whether this client has done the AUTH that it needs."""
        return self._login is None or bool(session.authenticated)

    def record(self, session: Session, envelope: Envelope) -> str:
        """Note the finished DATA command of a client; returns the answer for it."""
        with self._change:
            answer = self._answers.popleft() if self._answers else _ACCEPTED
            self._attempts.append(self._received(session, envelope, answer))
            self._change.notify_all()
        return answer

    def _received(self, session: Session, envelope: Envelope, answer: str) -> Received:
        auth: Any = session.auth_data  # pyright: ignore[reportUnknownMemberType]
        return Received(
            sender=envelope.mail_from or "",
            recipients=tuple(envelope.rcpt_tos),
            raw=envelope.original_content or b"",
            at=time.monotonic(),
            login=auth.login.decode() if isinstance(auth, LoginPassword) else None,
            tls=self.security != "plain",
            answer=answer,
        )

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        given = (data.login.decode(), data.password.decode()) if isinstance(data, LoginPassword) else None
        return AuthResult(success=given == self._login, handled=False, auth_data=data)


class _Handler:
    """What aiosmtpd calls back, in its own thread."""

    def __init__(self, sink: SmtpSink) -> None:
        self._sink = sink

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        # Here, because the library's own auth_required warns when TLS is done below it.
        if not self._sink.may_send(session):
            return "530 5.7.0 Authentication required"
        envelope.mail_from = address
        return "250 2.1.0 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if refused := _REFUSED.fullmatch(address.partition("@")[0]):
            return f"{''.join(refused.groups())} {refused[1]}.1.1 scripted refusal"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        answer = self._sink.record(session, envelope)
        if answer == SmtpSink.STALL:
            await asyncio.Event().wait()
        if answer == SmtpSink.DROP:
            _abort(server)
        return answer


class _Server(SMTP):
    """Remembers the open connections, so that stopping leaves none behind."""

    connections: set[_Server]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.connections.discard(self)
        super().connection_lost(error)


class _Controller(Controller):
    """Makes `_Server`s."""

    def __init__(self, handler: object, **options: Any) -> None:
        super().__init__(handler, **options)
        self.connections: set[_Server] = set()

    def factory(self) -> SMTP:
        server = _Server(self.handler, loop=self.loop, **self.SMTP_kwargs)
        server.connections = self.connections
        return server

    def hang_up(self) -> None:
        """Close all connections and wait until each has gone."""
        asyncio.run_coroutine_threadsafe(self._hang_up(), self.loop).result(10)

    async def _hang_up(self) -> None:
        for server in list(self.connections):
            _abort(server)
        deadline = self.loop.time() + 1.0  # some may be waiting for their client's end of a TLS shutdown
        while self.connections and self.loop.time() < deadline:
            await asyncio.sleep(0.001)


def _abort(server: SMTP) -> None:
    transport = server.transport
    if isinstance(transport, asyncio.Transport) and not transport.is_closing():
        transport.abort()
