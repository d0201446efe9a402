"""imapclient with what it lacks: a cable that can be cut, bounds for what a server sends, a NO of its own type, and an
IDLE that loses nothing.

imapclient's `idle_check` waits for the socket while an announcement already lies in imaplib's buffer, and takes a dead
connection for one without news (testbed.md §6). Here `listen` reads lines from the protocol's own buffer.

SECURITY: the library's log of the traffic (with passwords and mails in it) is off; bounds are `imap_protocol`'s.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from imapclient import IMAPClient, SocketTimeout

from revscript.inbound.imap_errors import ServerSaysNo, text_of
from revscript.inbound.imap_protocol import Protocol
from revscript.net import tls
from revscript.net.cable import Cable

MOST_FOLDERS = 50  # named in an error


class Client(IMAPClient):
    """An IMAPClient on a cable; TLS from the first byte with a `context`, a CRLF-free host name given."""

    def __init__(
        self, cable: Cable, host: str, port: int, context: ssl.SSLContext | None, timeouts: SocketTimeout
    ) -> None:
        self._cable = cable
        self._idle: bytes | None = None  # the tag of the IDLE under way
        super().__init__(host, port, ssl=context is not None, ssl_context=context, timeout=cast("float", timeouts))
        self._imap.debug = 0
        self.protocol.patience = timeouts.read
        self.normalise_times = False  # else INTERNALDATE becomes a naive local time

    @property
    def protocol(self) -> Protocol:
        """The connection below."""
        return cast("Protocol", self._imap)

    @property
    def certificate_expires(self) -> datetime | None:
        """When the server's certificate ends; None in clear text."""
        return tls.certificate_expires(self.protocol.sock)

    @property
    def preauthenticated(self) -> bool:
        """Whether the server greeted with PREAUTH: it knows who we are without a login."""
        return bytes(self.welcome or b"").startswith(b"* PREAUTH")

    def log_in(self, username: str, password: str) -> None:
        """LOGIN, or where the server or an umlaut forbids it SASL PLAIN, which is UTF-8 (RFC 4616)."""
        if self.has_capability("LOGINDISABLED") or not (username + password).isascii():
            self.plain_login(username, password)
        else:
            escaped = username.replace("\\", "\\\\").replace('"', '\\"')
            self.login(f'"{escaped}"', password)  # imaplib quotes the password only

    def close(self) -> None:
        """Close the socket; never waits and never raises, whatever state the connection is in."""
        with contextlib.suppress(OSError):  # for example after a failed TLS handshake
            self._imap.shutdown()
        self._cable.close()

    def items(self, uids: Sequence[int], items: Sequence[str]) -> dict[int, dict[bytes, Any]]:
        """FETCH by UID; mails that are gone have no entry."""
        return cast("dict[int, dict[bytes, Any]]", self.fetch(uids, items))

    def uids(self, criteria: str) -> list[int]:
        """SEARCH: the UIDs found, ascending, each once."""
        return sorted(set(cast("list[int]", self.search(criteria))))

    def folder_names(self) -> str:
        """The folders that there are, for an error's text."""
        names = [str(name) for _, _, name in cast("list[tuple[Any, Any, Any]]", self.list_folders())]
        return ", ".join(sorted(names)[:MOST_FOLDERS])

    # ------------------------------------------------------------ IDLE (RFC 2177)

    @property
    def is_idling(self) -> bool:
        """Whether the server is told to announce, and no other command may be given."""
        return self._idle is not None

    def start_idle(self) -> None:
        """IDLE; ServerSaysNo when it is refused although the server offers it."""
        protocol: Any = self._imap
        tag = protocol._command("IDLE")
        while protocol._get_response() is not None:  # announcements may come before the go-ahead
            protocol._check_bye()
            if answer := protocol.tagged_commands.get(tag):
                del protocol.tagged_commands[tag]
                raise ServerSaysNo(f"IDLE: {text_of(answer[1][0])}")
        self._idle = tag

    def listen(self) -> None:
        """Take in what the server has announced so far, without waiting; `abort` when it has gone."""
        while (line := self.protocol.line_now()) is not None:
            if line[:5].upper() == b"* BYE":
                raise self._imap.abort(f"the server ends the connection: {text_of(line[5:].strip()) or 'BYE'}")
            if not line.startswith(b"* ") or line.endswith(b"}"):  # it ends IDLE by itself, or begins a literal
                raise self._imap.abort(f"unexpected while idling: {text_of(line)}")

    def end_idle(self) -> None:
        """DONE, and wait for the answer: the proof that the server still is there."""
        tag, self._idle = self._idle, None
        protocol: Any = self._imap
        protocol.send(b"DONE\r\n")
        typ, data = protocol._get_tagged_response(tag)
        self._check_resp("OK", "IDLE", typ, data)

    def _create_IMAP4(self) -> Protocol:  # pyright: ignore[reportIncompatibleMethodOverride]  # imapclient 4.1
        connect_timeout = cast("SocketTimeout", self._timeout).connect
        return Protocol(self._cable, self.host, self.port, self.ssl_context if self.ssl else None, connect_timeout)

    def _check_resp(self, expected: str, command: Any, typ: str, data: Any) -> None:  # a hook of imapclient 4.1
        if typ == "NO":
            raise ServerSaysNo(text_of(data[0]))
        super()._check_resp(expected, command, typ, data)
