"""Questions whose answers become an account file: checked at once, with the message that `check` would give."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

import typer

from revscript.cli.output import say
from revscript.config import review_draft
from revscript.config.findings import unquoted
from revscript.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: for the setting at `place`, answered by `option` too.

    `default` counts where nobody can be asked; `guess` is only offered.
    """

    place: str
    text: str
    option: str
    default: Any = None
    guess: str = ""


@dataclass(slots=True)
class Draft:
    """The content of an account file as it grows."""

    data: dict[str, Any] = field(default_factory=dict[str, Any])

    def ask(self, question: Question, given: Any = None) -> Any:
        """Put the answer into the draft and return it. ConfigError when a given one is wrong, or nobody can answer."""
        if given is None and not can_ask():
            given = _without_terminal(question)
        while True:
            answer = _number(_prompt(question)) if given is None else given
            if not (why := self._wrong(question.place, answer)):
                return answer
            if given is not None:
                raise ConfigError(f"{question.option}: {why}.")
            say(f"  {question.text} {why}", "yellow")

    def set(self, place: str, value: Any) -> None:
        """Write a value at a place like `receiving.port`."""
        *above, last = place.split(".")
        data = self.data
        for key in above:
            data = data.setdefault(key, {})
        data[last] = value

    def _wrong(self, place: str, value: Any) -> str:
        self.set(place, value)
        return next((unquoted(one.text) for one in review_draft(self.data) if one.place == place), "")


def can_ask() -> bool:
    """Whether somebody sits at the other end."""
    return bool(sys.stdin) and sys.stdin.isatty()  # None when it was closed


def yes(text: str, given: bool | None, *, default: bool) -> bool:
    """Ask for yes or no; the default where nobody can be asked."""
    if given is not None or not can_ask():
        return default if given is None else given
    return typer.confirm(text, default=default)


def _without_terminal(question: Question) -> Any:
    if question.default is None:
        raise ConfigError(
            f"{question.option} is missing, and there is no terminal to ask: {question.text}?",
            hint=f"Give {question.option}, or start the command at a terminal.",
        )
    return question.default


def _prompt(question: Question) -> str:
    default = question.guess if question.default is None else question.default
    return typer.prompt(question.text, default=str(default) or None, type=str).strip()


def _number(text: str) -> int | str:
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 10 else text
