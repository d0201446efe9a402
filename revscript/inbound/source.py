"""What a watcher needs of a mail server, whatever its protocol (docs/decisions/0001-sources-and-sessions.md).

A session is one login. `settle` asks for something, `end_round` says what has come true: at once with IMAP, only with
QUIT in POP3, which therefore ends its session there and opens a new one for the next round.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from revscript.errors import SourceError, Unreachable
from revscript.inbound.doorbell import Doorbell
from revscript.model import ServerMail
from revscript.net.cable import Cable


class Refused(SourceError):
    """The server refused one thing; the connection is as good as before."""


class Vanished(SourceError):
    """The mail was deleted while it was fetched."""


class Throttled(Unreachable):
    """The server wants to be left alone for `seconds`."""

    def __init__(self, message: str, seconds: float, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Listing:
    """What lies in the mailbox: candidates, oldest first. Keys below `next_key` existed before the session began."""

    epoch: str
    next_key: int
    mails: tuple[ServerMail, ...]
    unclear: int = 0  # mails that were found, but that the server does not describe; a few are gone meanwhile
    read: tuple[str, ...] = ()  # keys of mails that somebody has read, as far as they were asked for
    lasting: bool = True  # False: the server promises its numbers for this session only

    @property
    def looked_below(self) -> int:
        """All mails with smaller keys were looked at, or had been before."""
        keys = [int(mail.key) for mail in self.mails] + [int(key) for key in self.read]
        return max(self.next_key, max(keys, default=0) + 1)


@dataclass(frozen=True, slots=True)
class Fetched:
    """A mail's bytes in pieces (Vanished may come instead of one); `cut`: over the hard cap, header lines only."""

    listed: ServerMail
    pieces: Iterator[bytes]
    cut: bool


@dataclass(frozen=True, slots=True)
class Settlement:
    """What the server is to be told of a mail: `seen`, `delete`, `none`, `move:FOLDER` or `keyword:WORD`."""

    mail_id: int
    listed: ServerMail
    what: str


class Session(Protocol):
    """A logged-in connection. After any SourceError but Refused and Vanished it is of no more use."""

    @property
    def pushes(self) -> bool:
        """Whether the server announces new mails by itself."""
        ...

    @property
    def has_news(self) -> bool:
        """Whether it has announced mails since the last look began."""
        ...

    @property
    def certificate_expires(self) -> datetime | None:
        """When the server's certificate ends; None where there is none."""
        ...

    def list(self, read_since: int | None = None) -> Listing:
        """Look into the mailbox; proves that the server is there.

        With `read_since` also at the mails from this key on that somebody else has read.
        """
        ...

    def newest_date(self) -> str:
        """The newest date of all mails, read or not, as ISO 8601 in UTC; for the first contact."""
        ...

    def announced(self) -> Sequence[Fetched]:
        """The mails just announced, looked at and fetched together, oldest first; none where `list` must decide.

        `has_news` stays true while any of them is left.
        """
        ...

    def rest(self, doorbell: Doorbell, until: float) -> None:
        """Do nothing until that time (monotonic), until the bell rings, or mails are announced."""
        ...

    def fetch(self, mails: Sequence[ServerMail]) -> Iterator[Fetched]:
        """Fetch without changing anything; mails that are gone, or not there yet, are left out.

        Refused when the server does not give one of them.
        """
        ...

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Ask the server to do what is to be done with processed mails; repeating it does no harm.

        Refused when the server does not let us. Mails of another epoch are not touched: their keys mean others now.
        """
        ...

    def end_round(self) -> Sequence[Settlement]:
        """What of the settlements asked for has come true."""
        ...

    def close(self) -> None:
        """Let go of the connection; never raises, never waits for a dead server."""
        ...


class Source(Protocol):
    """A mailbox that can be logged in to."""

    def connect(self, cable: Cable) -> Session:
        """Log in through the cable; Unreachable, AuthFailed, Downgrade or another SourceError otherwise."""
        ...
