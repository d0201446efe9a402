"""What a method may look at beside the Reading."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from revscript.config import Account
from revscript.jail.questions import Question
from revscript.jail.reading.model import Reading
from revscript.jail.wire import RunContext
from revscript.snapshot import Script


@dataclass(frozen=True, slots=True)
class View:
    """The mail's circumstances, and the way to ask the host (answers are plain data)."""

    account: Account
    context: RunContext
    script: Script | None
    ask: Callable[[Question], Any]


def all_attachments(reading: Reading, *, inline: bool) -> tuple[int, ...]:
    """Indexes of what counts as an attachment; pictures embedded in the HTML only with `inline` (design §10)."""
    return tuple(number for number, one in enumerate(reading.attachments) if inline or not one.inline)
