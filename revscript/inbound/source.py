"""What a watcher needs of a mail server, whatever its protocol (docs/decisions/0001-sources-and-sessions.md).

A session is one login. `settle` asks for something, `end_round` says what has come true: at once with IMAP, only with
QUIT in POP3, which therefore ends its session there and opens a new one for the next round.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from revscript.errors import SourceError, Unreachable
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
    """What lies in the mailbox: candidates, oldest first. Keys below `next_key` existed when it was made."""

    epoch: str
    next_key: int
    mails: tuple[ServerMail, ...]
    unclear: int = 0  # mails that were found, but that the server does not describe; a few are gone meanwhile


@dataclass(frozen=True, slots=True)
class Fetched:
    """A mail's bytes in pieces (Vanished may come instead of one); `cut`: over the hard cap, header lines only."""

    listed: ServerMail
    pieces: Iterator[bytes]
    cut: bool


@dataclass(frozen=True, slots=True)
class Settlement:
    """What the server is to be told of a mail: `seen`, `delete`, `none` or `move:FOLDER`."""

    mail_id: int
    listed: ServerMail
    what: str


class Session(Protocol):
    """A logged-in connection. After any SourceError but Refused and Vanished it is of no more use."""

    def list(self) -> Listing:
        """Look into the mailbox; proves that the server is there."""
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
