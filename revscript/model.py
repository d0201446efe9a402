"""The nouns that everybody shares: problems, outcomes, states, times."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from revscript.jail.effects import Effect

Clock = Callable[[], datetime]

Method = Literal["script", "document", "centre", "mission_folder"]
METHODS: tuple[Method, ...] = ("script", "document", "centre", "mission_folder")  # the order of first tries

Exit = Literal["done", "ignored", "unhandled", "refused", "failed", "stopped", "protocol"]

LEVELS = ("info", "important", "alarm")  # ascending
FAILED_EXITS: frozenset[Exit] = frozenset({"refused", "failed", "stopped", "protocol"})


AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)  # due whatever the clock says: it may be set back between now and then


def wall_clock() -> datetime:
    """The host's wall clock, in UTC; the only place that reads it."""
    return datetime.now(UTC)


def canonical_json(value: Any) -> str:
    """JSON that is the same for the same value: sorted keys, no blanks, no NaN."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def sha256_hex(data: bytes | str) -> str:
    """SHA-256 of bytes, or of text as UTF-8, in hex."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def encodable(text: str) -> str:
    """The text, with what UTF-8 cannot hold written out: a file name that is not UTF-8 has lone surrogates in it."""
    return text.encode(errors="backslashreplace").decode()


@dataclass(frozen=True, slots=True)
class ServerMail:
    """A mail as its server lists it. The four together are its identity: a reused key with another size is new."""

    epoch: str  # IMAP UIDVALIDITY; empty for POP3
    key: str  # IMAP UID, POP3 UIDL
    size: int  # bytes, as announced
    date: str = ""  # IMAP INTERNALDATE as ISO 8601; empty when there is none


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that needs a person.

    `key` names the trouble, so that it is raised once and can be cleared; `what` says it in one sentence;
    `way_out` says what to do.
    """

    key: str
    where: str
    what: str
    way_out: str
    severity: Literal["warning", "error"] = "error"

    def __post_init__(self) -> None:
        for name in ("key", "where", "what", "way_out"):  # one that cannot be written or sent would hold up all others
            object.__setattr__(self, name, encodable(getattr(self, name)))


class ProblemSink(Protocol):
    """The one place for everything that needs a person."""

    def report(self, problem: Problem) -> None:
        """Raise the problem, or renew it when it is there already."""
        ...

    def clear(self, key: str) -> None:
        """The trouble is over."""
        ...


class ClockEvidence(Protocol):
    """Where dates of servers go, so that a wrong clock of this host is noticed."""

    def dated(self, source: str, date: datetime, earliest: datetime) -> None:
        """`source` (a server) put this date on something that it did between `earliest` (our clock) and now."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of a run and the answer it got, both as plain data (the answer from committed rows only)."""

    question: dict[str, Any]
    answer: Any


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a script did not end well; `frames` are (line, function), innermost last.

    They are the script's own and its libraries'; the function of a library's line is `units.py in convert`.
    """

    type: str
    text: str
    frames: tuple[tuple[int, str], ...] = ()

    @property
    def line(self) -> int | None:
        """The innermost line of the script itself, if it is known."""
        return next((line for line, function in reversed(self.frames) if not library_of(function)), None)

    def __str__(self) -> str:
        where = f"line {self.line}" if self.line and not self.text.startswith("line ") else ""
        if self.frames and (file := library_of(self.frames[-1][1])):
            where += f"{' → ' if where else ''}{file} line {self.frames[-1][0]}"
        return f"{self.type}: {self.text}" + (f" ({where})" if where else "")


def library_of(function: str) -> str:
    """The file of the library to which a frame's function belongs; empty for the script itself."""
    file, found, _ = function.partition(".py in ")
    return f"{file}.py" if found else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What somebody wants done: effects with who wants them, and how the wish came about.

    `by` is `script:NAME`, `method:NAME`, `user:SIGN`, `api:NAME` or `cli:USER`.
    """

    by: str
    effects: tuple[Effect, ...] = ()
    exit: Exit = "done"
    asked: tuple[Asked, ...] = ()
    log: tuple[str, ...] = ()
    trouble: Trouble | None = None
    cpu_ms: int = 0

    def render(self) -> tuple[str, ...]:
        """The dry run: one line an effect, in words."""
        return tuple(effect.words() for effect in self.effects)
