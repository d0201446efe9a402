"""What an alert says: several problems in one notice, in plain words for people and as JSON for programs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC
from typing import Any, Literal

from revscript.health.clock import span
from revscript.health.problems import ABOUT_THINGS, Standing
from revscript.model import Problem, canonical_json, sha256_hex

MOST_LISTED = 20  # problems that a notice describes; of the others it tells the number
LONGEST_SUBJECT = 150  # characters

State = Literal["new", "again", "solved"]


def public(problem: Problem) -> Problem:
    """A problem as outsiders may read it: what is said about a mail or an act may quote it, and stays here."""
    if not problem.key.startswith(ABOUT_THINGS):
        return problem
    return replace(problem, what="See `revscript status`.", way_out="")


@dataclass(frozen=True, slots=True)
class News:
    """Something about a problem that is to be told: it stands, it still stands, it is over after `seconds`."""

    one: Standing
    state: State
    seconds: float
    told: int = 0  # how often it was told before


@dataclass(frozen=True, slots=True)
class Notice:
    """What is sent at one time. `held` says that no other follows for a while."""

    instance: str
    organisation: str
    news: tuple[News, ...]
    held: str = ""

    def public(self) -> Notice:
        """It without what comes from mails, for those who need not read that."""
        news = (replace(one, one=replace(one.one, problem=public(one.one.problem))) for one in self.news)
        return replace(self, news=tuple(news))

    @property
    def key(self) -> str:
        """The same for the same news: a repetition can be recognised."""
        what = [[one.one.problem.key, one.state, one.one.since.isoformat(), one.told] for one in self.news]
        return f"alert:{sha256_hex(canonical_json([self.instance, what]))[:32]}"

    @property
    def subject(self) -> str:
        """One line; the worst comes first."""
        standing = [one for one in self.news if one.state != "solved"]
        first = (standing or list(self.news))[0].one.problem
        count = len(standing or self.news)
        word = f"{count} problem{'s' if count > 1 else ''}" if standing else "solved"
        line = f"[{self.organisation or 'revscript'}] {word}: {first.where}: {first.what}"
        return _line(line)[:LONGEST_SUBJECT].strip()

    @property
    def text(self) -> str:
        """For people."""
        told = "\n\n".join(_told(one) for one in self.news[:MOST_LISTED])
        more = f"\n\n… and {self.more} more; `revscript status` shows all." if self.more else ""
        held = f"\n\n{self.held}" if self.held else ""
        return f"{told}{more}{held}\n\n-- \nrevscript, {self.organisation or 'instance'} {self.instance}\n"

    @property
    def more(self) -> int:
        """How many problems are not described."""
        return max(0, len(self.news) - MOST_LISTED)

    def body(self) -> dict[str, Any]:
        """For programs: `problems`, each with its state (new, again, solved) and the minutes that it has lasted."""
        return {
            "instance": self.instance,
            "organisation": self.organisation,
            "subject": self.subject,
            "text": self.text,
            "problems": [_plain(one) for one in self.news[:MOST_LISTED]],
            "more": self.more,
        }


def _told(news: News) -> str:
    problem, lasted = news.one.problem, span(news.seconds)
    since = f"{news.one.since.astimezone(UTC):%d.%m.%Y %H:%M} UTC"
    what, where = _line(problem.what), _line(problem.where)
    if news.state == "solved":
        return f"SOLVED after {lasted} – {where}\n  It was: {what}"
    word = "PROBLEM" if news.state == "new" else "STILL A PROBLEM"
    way_out = f"\n  What to do: {_line(problem.way_out)}" if problem.way_out else ""
    return f"{word} for {lasted} – {where}\n  {what}{way_out}\n  Since {since}."


def _plain(news: News) -> dict[str, Any]:
    problem = news.one.problem
    return {
        "key": problem.key,
        "severity": problem.severity,
        "where": _line(problem.where),
        "what": _line(problem.what),
        "way_out": _line(problem.way_out),
        "since": news.one.since.astimezone(UTC).isoformat(timespec="seconds"),
        "state": news.state,
        "minutes": round(news.seconds / 60, 1),
    }


def _line(text: str) -> str:
    """One line without control characters: problems quote what servers say."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
