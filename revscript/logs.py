"""Logging: lines with colours for a person at a terminal, one JSON object a line for everything else.

Our own events go through structlog, one line a step. Libraries log with the standard library: their warnings and
errors take the same way out, what they chatter beside that is dropped.

What was taken from mails (`PERSONAL`) is shown at level debug only; otherwise its number stands there.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any, Literal, TextIO, cast

import structlog
from structlog.dev import Column, KeyValueColumnFormatter, LogLevelColumnFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

from revscript.jail.reading.clean import one_line
from revscript.model import wall_clock

LogLevel = Literal["debug", "info", "warning", "error"]

PERSONAL = ("words", "to", "cc", "sender", "subject", "text")
IDS = ("account", "mail", "task", "act", "lane")  # what a line is about stands first
EVENT_WIDTH = 12  # characters; most events are shorter

RESET, BOLD, DIM = "\x1b[0m", "\x1b[1m", "\x1b[2m"
RED, GREEN, YELLOW, CYAN = "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[36m"
_LEVELS = {"debug": DIM, "info": GREEN, "warning": YELLOW, "error": RED, "critical": RED}


def configure(level: LogLevel = "info", stream: TextIO | None = None, zone: tzinfo | None = None) -> None:
    """Send all logging to the stream, by default standard error; a later call replaces an earlier one.

    `zone` is that in which people read times; by default the machine's. JSON lines have UTC.
    """
    out = stream or sys.stderr
    people = out.isatty()
    shared: list[Processor] = [structlog.stdlib.add_log_level, _Stamp(people, zone)]
    if level != "debug":
        shared.append(_discreet)
    ending = _for_people() if people else _for_machines()
    structlog.configure(
        processors=[*shared, *ending],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    _route_libraries(out, shared, ending)


class _Stamp:
    """Puts the time first."""

    def __init__(self, people: bool, zone: tzinfo | None) -> None:
        self._people = people
        self._zone = zone

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        now = wall_clock()
        return {"time": _for_the_eye(now.astimezone(self._zone)) if self._people else _iso(now), **event}


def _for_the_eye(now: datetime) -> str:
    return f"{now:%d.%m. %H:%M:%S}.{now.microsecond // 100_000}"


def _iso(now: datetime) -> str:
    return now.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _discreet(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for name in PERSONAL:
        if isinstance(event.get(name), (str, list, tuple, set, dict)):
            event[name] = 1 if isinstance(event[name], str) else len(event[name])
    return event


# ---------------------------------------------------------------- people


def _for_people() -> list[Processor]:
    rest = KeyValueColumnFormatter(DIM, "", RESET, value_repr=_shown)
    ids = KeyValueColumnFormatter(DIM, CYAN, RESET, value_repr=_shown)
    columns = [
        Column("time", KeyValueColumnFormatter(None, DIM, RESET, value_repr=str)),
        Column("level", LogLevelColumnFormatter(_LEVELS, RESET)),
        Column("event", KeyValueColumnFormatter(None, BOLD, RESET, value_repr=_said, width=EVENT_WIDTH)),
        *(Column(name, ids) for name in IDS),
        Column("", rest),
    ]
    # The plain traceback: structlog's pretty one shows local variables, and passwords may be among them.
    renderer = structlog.dev.ConsoleRenderer(
        columns=columns, sort_keys=False, exception_formatter=structlog.dev.plain_traceback
    )
    return [_printable, renderer]


def _printable(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """What servers and mails say cannot steer the terminal."""
    return {name: one_line(value) if isinstance(value, str) else value for name, value in event.items()}


def _said(value: object) -> str:
    return one_line(str(value))


def _shown(value: object) -> str:
    """A value as people read it: text with blanks in quotes, lists as their items."""
    if isinstance(value, (list, tuple)):
        return "; ".join(_said(one) for one in cast("Sequence[Any]", value)) or "-"
    text = "-" if value is None else _said(value)
    return f'"{text}"' if " " in text or not text else text


# ---------------------------------------------------------------- machines and libraries


def _for_machines() -> list[Processor]:
    return [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(ensure_ascii=False),
    ]


def _route_libraries(stream: TextIO, shared: list[Processor], ending: list[Processor]) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
