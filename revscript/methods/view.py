"""What a method may look at beside the Reading."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from revscript.config import Account
from revscript.jail.effects import MAX_ATTACHMENTS
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


def attachments_in_parts(reading: Reading, *, inline: bool) -> list[tuple[int, ...]]:
    """Indexes of what counts as an attachment, in parts that one effect may name.

    Pictures embedded in the HTML count only with `inline` (design §10).
    """
    found = [number for number, one in enumerate(reading.attachments) if inline or not one.inline]
    return [tuple(found[start : start + MAX_ATTACHMENTS]) for start in range(0, len(found), MAX_ATTACHMENTS)]
