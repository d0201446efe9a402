"""Logging: lines with colours for a person at a terminal, one JSON object a line for everything else.

Our own events go through structlog. Libraries log with the standard library: their warnings and errors take the same
way out, what they chatter beside that is dropped.
"""

from __future__ import annotations

import logging
import sys
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from revscript.jail.reading.clean import one_line

LogLevel = Literal["debug", "info", "warning", "error"]


def configure(level: LogLevel = "info", stream: TextIO | None = None) -> None:
    """Send all logging to the stream, by default standard error; a later call replaces an earlier one."""
    out = stream or sys.stderr
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    ending = _for_people() if out.isatty() else _for_machines()
    structlog.configure(
        processors=[*shared, *ending],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    _route_libraries(out, shared, ending)


def _for_people() -> list[Processor]:
    # The plain traceback: structlog's pretty one shows local variables, and passwords may be among them.
    renderer = structlog.dev.ConsoleRenderer(timestamp_key="time", exception_formatter=structlog.dev.plain_traceback)
    return [_printable, renderer]


def _for_machines() -> list[Processor]:
    return [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(ensure_ascii=False),
    ]


def _printable(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """What servers and mails say cannot steer the terminal."""
    return {name: one_line(value) if isinstance(value, str) else value for name, value in event.items()}


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
