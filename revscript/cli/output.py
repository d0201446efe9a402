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
from revscript.jail.reading.clean import many_lines, one_line

WIDE = 200  # columns where nobody knows: a pipe or a file

ROOM = 120  # columns from which a table of many columns can be read

# JSON lets these stand in text, but terminals obey the first and many programs end a line at the last.
_ESCAPED = {code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), 0x2028, 0x2029)}


def emit(row: Mapping[str, Any]) -> None:
    """Print one JSON object on one line; times as ISO 8601 in UTC with milliseconds."""
    line = json.dumps(row, ensure_ascii=False, allow_nan=False, default=_time)
    typer.echo(line.translate(_ESCAPED))


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
    known = (sys.stdout and sys.stdout.isatty()) or "COLUMNS" in os.environ
    return Console(markup=False, emoji=False, highlight=False, width=None if known else WIDE)


def say(text: str, style: str = "", indent: int = 0) -> None:
    """Print text as it is, every line indented; never cut or wrapped."""
    blank = " " * indent
    lines = "\n".join(blank + line for line in many_lines(text).split("\n"))
    console().print(Text(lines, style=style), soft_wrap=True)


def say_parts(parts: Iterable[str]) -> None:
    """Parts of one thing on as few lines as the terminal has room for, below their heading."""
    width = console().width - 4
    lines = [""]
    for part in parts:
        longer = f"{lines[-1]}, {part}" if lines[-1] else part
        if len(longer) > width and lines[-1]:
            lines[-1] += ","
            lines.append(part)
        else:
            lines[-1] = longer
    for number, line in enumerate(lines):
        say(line, indent=4 if number else 2)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], zone: tzinfo) -> None:
    """Print a table; what is too long is folded, never cut."""
    console().print(_grid(columns, rows, zone))


def _grid(columns: Sequence[str], rows: Iterable[Sequence[Any]], zone: tzinfo) -> Table:
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        grid.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        grid.add_row(*(Text(many_lines(shown(value, zone))) for value in row))
    return grid


def rows_or_none(rows: Sequence[Mapping[str, Any]], zone: tzinfo, *, as_json: bool) -> None:
    """Print rows with the same keys: as JSON lines, as a table, or that there are none.

    Where a table would be folded into columns of a few letters, each row is a block of lines.
    """
    if as_json:
        for row in rows:
            emit(row)
    elif rows:
        out, grid = console(), _grid(list(rows[0]), [list(row.values()) for row in rows], zone)
        needed = out.measure(grid, options=out.options.update(max_width=ROOM)).maximum
        if out.width >= min(needed, ROOM):
            out.print(grid)
        else:
            for row in rows:
                _block(row, zone)
    else:
        say("none")


def _block(row: Mapping[str, Any], zone: tzinfo) -> None:
    """A row as a heading, its first value, and below it what else there is."""
    heading, *others = [
        f"{name.replace('_', ' ')} {one_line(shown(value, zone))}"
        for number, (name, value) in enumerate(row.items())
        if number == 0 or value not in (None, "", [], {})
    ]
    say(heading, "bold")
    say_parts(others)


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
