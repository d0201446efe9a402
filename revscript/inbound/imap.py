"""IMAP source (RFC 9051, RFC 3501), by imapclient.

SECURITY: reads answers of potentially hostile servers. Time-outs and deadlines everywhere; mails are fetched in parts
of 1 MiB; a parser's RecursionError or MemoryError counts as an unusable server. Nothing of a mail's content is looked
at here.
"""

from __future__ import annotations

import imaplib
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from imapclient import SocketTimeout
from imapclient.exceptions import LoginError

from revscript.config import Imap
from revscript.errors import AuthFailed, SourceError, Unreachable
from revscript.inbound.imap_client import Client
from revscript.inbound.imap_errors import ServerSaysNo, means_trouble, said_no, text_of, translated
from revscript.inbound.imap_session import ImapSession
from revscript.net import tls
from revscript.net.cable import Cable

BUSY = ("[UNAVAILABLE]", "[INUSE]", "[LIMIT]", "[SERVERBUG]")  # RFC 5530 §3: no word about the password


@dataclass(frozen=True, slots=True)
class ImapSource:
    """An IMAP folder with its login.

    `hard_cap`: bytes above which only the head of a mail is fetched; `renew`: seconds after which IDLE is begun anew.
    """

    settings: Imap
    folder: str
    username: str
    password: str = field(repr=False)
    ca_file: Path | None
    connect_timeout: float
    read_timeout: float
    hard_cap: int
    renew: float = 240
    ignore_certificate: bool = False

    @property
    def server(self) -> str:
        """Host and port, for messages."""
        return f"{self.settings.host}:{self.settings.port}"

    def connect(self, cable: Cable | None = None) -> ImapSession:
        """Connect, protect, log in, select the folder."""
        return ImapSession(self, cable or Cable())

    def open(self, cable: Cable) -> tuple[Client, dict[bytes, Any]]:
        """A client with the folder selected, and what the server said of the folder."""
        client: Client | None = None
        try:
            with translated(self.server), cable.deadline(4 * self.read_timeout + self.connect_timeout):
                client = self._dial(cable)
                self._protect(client)
                self._log_in(client)
                return client, self._select(client)
        except BaseException:
            if client is not None:
                client.close()
            cable.close()
            raise

    @contextmanager
    def command(self, client: Client, extra: float = 0) -> Generator[None]:
        """Translate errors, and end what takes longer than four time-outs and `extra` seconds."""
        with translated(self.server), client.protocol.within(4 * self.read_timeout + extra):
            yield

    def _dial(self, cable: Cable) -> Client:
        host, port = self.settings.host, self.settings.port
        context = self._context() if tls.way(port) == "implicit" else None
        return Client(cable, host, port, context, SocketTimeout(self.connect_timeout, self.read_timeout))

    def _context(self) -> ssl.SSLContext:
        return tls.context(self.ca_file, ignore_certificate=self.ignore_certificate)

    def _protect(self, client: Client) -> None:
        if tls.way(self.settings.port) == "implicit":
            return
        # PREAUTH leaves no place for STARTTLS: perhaps somebody in between wants that (CVE-2020-12398).
        if not client.preauthenticated and client.has_capability("STARTTLS"):
            client.starttls(self._context())
        else:
            tls.require_clear_text_allowed(self.settings.host, insecure=self.settings.insecure, protocol="IMAP")

    def _log_in(self, client: Client) -> None:
        if client.preauthenticated:
            return
        try:
            client.log_in(self.username, self.password)
        except LoginError as error:
            text = text_of(error)
            if means_trouble(text):
                raise said_no(self.server, error) from error
            # imapclient calls every error a LoginError, also a connection that broke meanwhile.
            if isinstance(error.__context__, imaplib.IMAP4.abort) or any(code in text for code in BUSY):
                raise Unreachable(
                    f"{self.server} does not let us in now: {text}",
                    hint="It is tried again; there may be too many connections to this mailbox.",
                ) from error
            raise AuthFailed(
                f"{self.settings.host} refused the login of {self.username}: {text}",
                hint="Check user name and password; many providers demand an app password.",
            ) from error

    def _select(self, client: Client) -> dict[bytes, Any]:
        try:
            readonly = self.settings.after == "none"
            return cast("dict[bytes, Any]", client.select_folder(self.folder, readonly))
        except imaplib.IMAP4.readonly as error:
            raise SourceError(
                f"The folder {self.folder!r} can only be read.",
                hint='Get the right to change it from the server\'s operator, or set "after": "none".',
            ) from error
        except ServerSaysNo as error:
            if means_trouble(text_of(error)):
                raise
            raise SourceError(
                f"The folder {self.folder!r} cannot be opened: {text_of(error)}",
                hint=f"There are: {client.folder_names()}",
            ) from error
