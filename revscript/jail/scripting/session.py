"""How the objects that a script sees reach the host: one small protocol, so that they can be tried without a jail."""

from __future__ import annotations

from typing import Any, Protocol

from revscript.jail.effects import Effect
from revscript.jail.questions import Question


class Session(Protocol):
    """The child's side of a run."""

    def emit(self, effect: Effect) -> int:
        """Send a wish; returns its number in this run, from 0, for `effect:N` references."""
        ...

    def ask(self, question: Question) -> Any:
        """Ask the host and wait; returns plain JSON data in the shape of the question's answer class."""
        ...

    def table(self, file: str) -> str:
        """The text of a table of this run's set; each is asked for once."""
        ...

    def log(self, text: str) -> None:
        """A line for the protocol; cut and counted by the session."""
        ...
