"""The demo's SMTP server: takes mail for the demo's accounts from anybody, and from the accounts mail for anybody.

Mail for an account goes into its mailbox. Mail for anybody else leaves the command post; it ends here and is kept, so
that the demo can show it.

SECURITY: listens on the loopback only. Without a login, nobody can send elsewhere than into the demo's mailboxes.
"""

from __future__ import annotations

import logging
import secrets
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

LARGEST = 50 << 20  # bytes

# The library warns of its own older names whenever somebody logs in.
logging.getLogger("mail.log").setLevel(logging.ERROR)

Deliver = Callable[[str, bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Sent:
    """A mail that left the command post."""

    login: str
    sender: str
    recipients: tuple[str, ...]
    raw: bytes


class Sink:
    """What the SMTP servers of the connections share. `users`: address → user name; `deliver(user, raw)`."""

    def __init__(self, users: Mapping[str, str], password: str, context: ssl.SSLContext, deliver: Deliver) -> None:
        self.sent: list[Sent] = []
        self._users = users
        self._password = password
        self._context = context
        self._deliver = deliver

    def server(self) -> SMTP:
        """The protocol of a new connection; called in the loop that serves it."""
        return SMTP(
            self,
            hostname="demo.example",
            data_size_limit=LARGEST,
            enable_SMTPUTF8=True,
            tls_context=self._context,
            authenticator=self._authenticate,
        )

    def _authenticate(
        self,
        _server: SMTP,
        _session: Session,
        _envelope: Envelope,
        _mechanism: str,
        data: Any,
    ) -> AuthResult:
        good = (
            isinstance(data, LoginPassword)
            and data.login.decode("utf-8", "replace") in self._users.values()
            and secrets.compare_digest(data.password, self._password.encode())
        )
        return AuthResult(success=good, handled=False, auth_data=data)

    async def handle_RCPT(
        self, _server: SMTP, session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Accept the demo's accounts, and everybody from somebody who has logged in."""
        if address.lower() not in self._users and not session.authenticated:
            return f"550 5.7.1 without a login only for {', '.join(self._users)}"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:
        """Into the mailboxes, and what is for others into `sent`."""
        raw = envelope.original_content or b""
        here = {user for address in envelope.rcpt_tos if (user := self._users.get(address.lower()))}
        for user in sorted(here):
            await self._deliver(user, raw)
        others = tuple(address for address in envelope.rcpt_tos if address.lower() not in self._users)
        if others:
            login: Any = session.auth_data  # pyright: ignore[reportUnknownMemberType]
            self.sent.append(Sent(login.login.decode(), envelope.mail_from or "", others, raw))
        return "250 2.0.0 taken"
