"""imapclient with what it lacks: a cable that can be cut, bounds for what a server sends, and a NO of its own type.

SECURITY: imaplib takes in whatever a server sends. Here an answer has a largest size, and the library's protocol of the
traffic (with passwords and mails in it) is off.
"""

from __future__ import annotations

import contextlib
import imaplib
import socket
import ssl
from collections.abc import Sequence
from typing import Any, cast

from imapclient import IMAPClient, SocketTimeout

from revscript.inbound.imap_errors import ServerSaysNo, text_of
from revscript.net.cable import Cable

MOST_BYTES = 32 << 20  # of one command's answer: the largest that we ask for are 20 mails of 1 MiB
MOST_FOLDERS = 50  # named in an error
imaplib._MAXLINE = 16 << 20  # pyright: ignore[reportAttributeAccessIssue]  # 1 MB is a SEARCH of 140,000 mails


class Client(IMAPClient):
    """An IMAPClient on a cable; TLS from the first byte with a `context`, a CRLF-free host name given."""

    def __init__(
        self, cable: Cable, host: str, port: int, context: ssl.SSLContext | None, timeouts: SocketTimeout
    ) -> None:
        self._cable = cable
        super().__init__(host, port, ssl=context is not None, ssl_context=context, timeout=cast("float", timeouts))
        self._imap.debug = 0
        self.normalise_times = False  # else INTERNALDATE becomes a naive local time

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

    def _create_IMAP4(self) -> _Protocol:  # pyright: ignore[reportIncompatibleMethodOverride]  # imapclient 4.1
        connect_timeout = cast("SocketTimeout", self._timeout).connect
        return _Protocol(self._cable, self.host, self.port, self.ssl_context if self.ssl else None, connect_timeout)

    def _check_resp(self, expected: str, command: Any, typ: str, data: Any) -> None:  # a hook of imapclient 4.1
        if typ == "NO":
            raise ServerSaysNo(text_of(data[0]))
        super()._check_resp(expected, command, typ, data)


class _Protocol(imaplib.IMAP4):
    """imaplib's side: where the socket comes from, and how much may come through it."""

    def __init__(self, cable: Cable, host: str, port: int, context: ssl.SSLContext | None, timeout: float) -> None:
        self._cable = cable
        self._context = context
        self._left = MOST_BYTES
        super().__init__(host, port, timeout)

    def _create_socket(self, timeout: float) -> socket.socket:
        sock = self._cable.dial(self.host, self.port, timeout)
        return self._context.wrap_socket(sock, server_hostname=self.host) if self._context else sock

    def send(self, data: Any) -> None:
        self._left = MOST_BYTES
        super().send(data)

    def readline(self) -> bytes:
        line = super().readline()
        self._take(len(line))
        return line

    def read(self, size: int) -> bytes:
        self._take(size)
        return super().read(size)

    def _take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise self.abort(f"the server sends more than {MOST_BYTES >> 20} MiB where less was asked for")
