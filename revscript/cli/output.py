"""What commands print: tables and lines for people, one JSON object a line for programs.

SECURITY: almost everything printed here was written by outsiders. For people, control characters are taken out (a mail
must not steer the terminal) and nothing is read as rich's markup; in JSON they are escaped.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Any, cast

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from revscript.errors import RevscriptError
from revscript.jail.reading.clean import many_lines

WIDE = 200  # columns where nobody knows: a pipe or a file

# JSON lets these stand in text, but many programs end a line at them.
_LINE_ENDS = {ord(end): f"\\u{ord(end):04x}" for end in "\x7f\x85\u2028\u2029"}


def emit(row: Mapping[str, Any]) -> None:
    """Print one JSON object on one line; times as ISO 8601 in UTC with milliseconds."""
    line = json.dumps(row, ensure_ascii=False, allow_nan=False, default=_time)
    typer.echo(line.translate(_LINE_ENDS))


def _time(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    raise TypeError(f"{type(value).__name__} is not JSON")


def complain(error: RevscriptError | str) -> None:
    """An error on standard error: a line for each thing that is wrong, then the way out."""
    for line in str(error).splitlines():
        typer.echo(f"error: {many_lines(line)}", err=True)
    if isinstance(error, RevscriptError) and error.hint:
        typer.echo(f"       {many_lines(error.hint)}", err=True)


def console() -> Console:
    """Standard output for people; without a terminal it is wide, so that lines stay lines."""
    known = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(markup=False, emoji=False, highlight=False, width=None if known else WIDE)


def say(text: str, style: str = "", indent: int = 0) -> None:
    """Print text as it is, every line indented; never cut or wrapped."""
    blank = " " * indent
    lines = "\n".join(blank + line for line in many_lines(text).split("\n"))
    console().print(Text(lines, style=style), soft_wrap=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], zone: tzinfo) -> None:
    """Print a table; what is too long is folded, never cut."""
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        grid.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        grid.add_row(*(Text(many_lines(shown(value, zone))) for value in row))
    console().print(grid)


def rows_or_none(rows: Sequence[Mapping[str, Any]], zone: tzinfo, *, as_json: bool) -> None:
    """Print rows with the same keys: as JSON lines, as a table, or that there are none."""
    if as_json:
        for row in rows:
            emit(row)
    elif rows:
        table(list(rows[0]), [list(row.values()) for row in rows], zone)
    else:
        say("none")


def shown(value: Any, zone: tzinfo) -> str:
    """A value for people, times in their time zone."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value.astimezone(zone):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value).items()
        return ", ".join(f"{name} {shown(one, zone)}" for name, one in pairs) or "-"
    if isinstance(value, list):
        return ", ".join(shown(one, zone) for one in cast("list[Any]", value)) or "-"
    return str(value)


def span(length: timedelta) -> str:
    """A length of time in its largest unit: `12 s`, `3 min`, `5 h`, `2 days`."""
    seconds = int(length.total_seconds())
    for size, unit in ((86400 * 2, "days"), (7200, "h"), (120, "min")):
        if seconds >= size:
            return f"{seconds // {'days': 86400, 'h': 3600, 'min': 60}[unit]} {unit}"
    return f"{seconds} s"


def counted(number: int, noun: str) -> str:
    """`1 account`, `2 accounts`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
