"""IMAP source (RFC 9051, RFC 3501), by imapclient.

SECURITY: reads answers of potentially hostile servers. Time-outs everywhere; mails are fetched in parts of 1 MiB after
their size was asked; a parser's RecursionError or MemoryError counts as an unusable server. Nothing of a mail's content
is looked at here. Only `BODY.PEEK[]` and UID commands: fetching changes nothing, and CLOSE (which expunges) is never
used.
"""

from __future__ import annotations

import contextlib
import imaplib
import ssl
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from imapclient import DELETED, SEEN, IMAPClient, SocketTimeout
from imapclient.exceptions import CapabilityError, IMAPClientError, LoginError, ProtocolError

from revscript.config import Imap
from revscript.errors import AuthFailed, Downgrade, SourceError, Unreachable
from revscript.inbound.source import Fetched, Listing, Settlement
from revscript.model import ServerMail
from revscript.net import tls

PART = 1 << 20  # bytes asked for at once: as fast as the whole mail, and 9 MB of memory instead of 3 × its size
HEAD_PART = 1 << 16  # bytes of header lines of a mail over the hard cap
LIST_BATCH = 500  # mails whose size and date are asked at once


@dataclass(frozen=True, slots=True)
class ImapSource:
    """An IMAP folder with its login. `hard_cap`: bytes above which only the head of a mail is fetched."""

    settings: Imap
    folder: str
    username: str
    password: str
    ca_file: Path | None
    connect_timeout: float
    read_timeout: float
    hard_cap: int

    def connect(self) -> ImapSession:
        """Connect, protect, log in, select the folder."""
        with _translated(self.settings.host):
            client = self._open()
        try:
            with _translated(self.settings.host):
                self._protect(client)
                self._log_in(client)
                return ImapSession(self, client, self._select(client))
        except BaseException:
            client.shutdown()
            raise

    def _open(self) -> IMAPClient:
        implicit = tls.way(self.settings.port) == "implicit"
        client = IMAPClient(
            self.settings.host,
            self.settings.port,
            ssl=implicit,
            ssl_context=tls.context(self.ca_file) if implicit else None,
            timeout=cast("float", SocketTimeout(self.connect_timeout, self.read_timeout)),
        )
        client.normalise_times = False  # else INTERNALDATE becomes a naive local time
        return client

    def _protect(self, client: IMAPClient) -> None:
        if tls.way(self.settings.port) == "implicit":
            return
        if client.welcome.startswith(b"* PREAUTH"):  # somebody in between skips STARTTLS (CVE-2020-12398)
            tls.require_clear_text_allowed(self.settings.host, insecure=self.settings.insecure, protocol="IMAP")
        elif client.has_capability("STARTTLS"):
            client.starttls(tls.context(self.ca_file))
        else:
            tls.require_clear_text_allowed(self.settings.host, insecure=self.settings.insecure, protocol="IMAP")

    def _log_in(self, client: IMAPClient) -> None:
        if client.welcome.startswith(b"* PREAUTH"):
            return
        try:
            client.login(self.username, self.password)
        except LoginError as error:
            raise AuthFailed(
                f"{self.settings.host} refused the login of {self.username}: {_text(error)}",
                hint="Check user name and password; many providers demand an app password.",
            ) from error

    def _select(self, client: IMAPClient) -> dict[bytes, Any]:
        try:
            return client.select_folder(self.folder)
        except imaplib.IMAP4.abort:
            raise
        except IMAPClientError as error:
            folders = ", ".join(sorted(str(entry[2]) for entry in client.list_folders()))
            raise SourceError(
                f"The folder {self.folder!r} cannot be opened: {_text(error)}", hint=f"There are: {folders}"
            ) from error


class ImapSession:
    """A selected folder."""

    def __init__(self, source: ImapSource, client: IMAPClient, selected: dict[bytes, Any]) -> None:
        self._source = source
        self._client = client
        self._epoch = str(selected.get(b"UIDVALIDITY", 0))
        self._next_uid = _number(selected.get(b"UIDNEXT"))
        self._settled: list[Settlement] = []

    def list(self) -> Listing:
        """Unread mails (all with `include_read`), oldest first, with size and date."""
        what = "UNDELETED" if self._source.settings.include_read else "UNSEEN UNDELETED"
        with _translated(self._source.settings.host):
            self._client.noop()  # some servers search only what they have announced
            uids = sorted(self._client.search(what))
            mails = tuple(self._describe(uids))
        return Listing(self._epoch, self._next_uid, mails)

    def _describe(self, uids: Sequence[int]) -> Iterator[ServerMail]:
        for start in range(0, len(uids), LIST_BATCH):
            batch = uids[start : start + LIST_BATCH]
            answer = self._client.fetch(batch, ["RFC822.SIZE", "INTERNALDATE"])
            for uid in batch:
                if uid in answer:
                    size, date = answer[uid].get(b"RFC822.SIZE"), answer[uid].get(b"INTERNALDATE")
                    yield ServerMail(self._epoch, str(uid), _number(size), _date(date))

    def fetch(self, mails: Sequence[ServerMail]) -> Iterator[Fetched]:
        """Small mails together in one command, a large one in parts."""
        if len(mails) > 1:
            yield from self._fetch_small(mails)
            return
        for mail in mails:
            if mail.size > self._source.hard_cap:
                yield Fetched(mail, self._parts(mail, "BODY.PEEK[HEADER]", HEAD_PART, HEAD_PART), cut=True)
            else:
                most = max(2 * mail.size, self._source.hard_cap)  # announced sizes are not exact everywhere
                yield Fetched(mail, self._parts(mail, "BODY.PEEK[]", PART, most), cut=False)

    def _fetch_small(self, mails: Sequence[ServerMail]) -> Iterator[Fetched]:
        with _translated(self._source.settings.host):
            answer = self._client.fetch([int(mail.key) for mail in mails], [f"BODY.PEEK[]<0.{PART}>"])
        for mail in mails:
            body = answer.get(int(mail.key), {}).get(b"BODY[]<0>")
            if body and len(body) < PART:  # none: gone meanwhile, or announced before it is there; never an empty mail
                yield Fetched(mail, iter([body]), cut=False)
            elif body:  # larger than announced
                yield from self.fetch([mail])

    def _parts(self, mail: ServerMail, item: str, part: int, most: int) -> Iterator[bytes]:
        name = item.replace(".PEEK", "").encode()
        offset = 0
        while offset < most:
            with _translated(self._source.settings.host):
                answer = self._client.fetch([int(mail.key)], [f"{item}<{offset}.{part}>"])
            body = answer.get(int(mail.key), {}).get(name + f"<{offset}>".encode())
            if body:
                yield body
                offset += len(body)
            if not body or len(body) < part:
                return
        if item == "BODY.PEEK[]":
            raise Unreachable(f"The mail with UID {mail.key} is far larger than announced.")

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Flags, deletions and moves, each kind in one command."""
        with _translated(self._source.settings.host):
            for what in {one.what for one in settlements}:
                uids = [int(one.listed.key) for one in settlements if one.what == what]
                self._tell(what, uids)
        self._settled.extend(settlements)

    def _tell(self, what: str, uids: list[int]) -> None:
        word, _, folder = what.partition(":")
        if word == "seen":
            self._client.add_flags(uids, [SEEN], silent=True)
        elif word == "delete":
            self._delete(uids)
        elif word == "move":
            self._move(uids, folder)

    def _delete(self, uids: list[int]) -> None:
        self._client.add_flags(uids, [DELETED], silent=True)
        if self._client.has_capability("UIDPLUS"):
            self._client.uid_expunge(uids)
        elif set(self._client.search("DELETED")) <= set(uids):  # EXPUNGE would take other people's along
            self._client.expunge()

    def _move(self, uids: list[int], folder: str) -> None:
        if not self._client.folder_exists(folder):
            self._client.create_folder(folder)
        if self._client.has_capability("MOVE"):
            self._client.move(uids, folder)
        else:
            self._client.copy(uids, folder)
            self._delete(uids)

    def end_round(self) -> Sequence[Settlement]:
        """All that was asked for: IMAP does it at once."""
        settled, self._settled = self._settled, []
        return settled

    def close(self) -> None:
        """Close the socket; a LOGOUT could wait for a dead server."""
        with contextlib.suppress(OSError):
            self._client.shutdown()


@contextmanager
def _translated(host: str) -> Generator[None]:
    """imapclient's, imaplib's and the socket's exceptions as ours (testbed.md §5, §6)."""
    try:
        yield
    except SourceError:
        raise
    except ssl.SSLError as error:
        raise tls.explain(error, host) from error
    except CapabilityError as error:
        raise Downgrade(f"{host}: {_text(error)}") from error
    except (imaplib.IMAP4.error, ProtocolError) as error:
        raise Unreachable(f"{host}: {_text(error)}") from error
    except TimeoutError as error:
        raise Unreachable(f"{host} does not answer in time.", hint="Check host, port and firewall.") from error
    except OSError as error:
        raise Unreachable(f"{host}: {error}", hint="Check host, port, name resolution and firewall.") from error
    except (RecursionError, MemoryError, ValueError) as error:
        raise Unreachable(f"{host} sends answers that cannot be understood: {type(error).__name__}") from error


def _text(error: Exception) -> str:
    """An error's text, of imaplib sometimes as bytes in quotes."""
    text = str(error)
    return text[2:-1] if text.startswith(("b'", 'b"')) else text


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _date(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else ""
