"""Tables of the administrators: CSV or JSON text → columns and rows.

SECURITY: the text is the administrator's, but often an export of another program; it is read in the jail, at most 1 MB
of it (the host's limit), without recursion of our own. Whatever is wrong is a `BadTable` that names the place.
"""

from __future__ import annotations

import csv
import io
import json
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

KEY = "key"  # the first column of a table that is an object of objects

Row = dict[str, Any]


class BadTable(Exception):
    """The file is no table; line and column from 1, None where they are not known."""

    def __init__(self, text: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(text, line, column)
        self.text, self.line, self.column = text, line, column


@dataclass(frozen=True, slots=True)
class Parsed:
    """Columns in the file's order, and rows that may lack some; the first column is the key."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def parse(file: str, text: str) -> Parsed:
    """Read a table; its file's name says how. Raises BadTable."""
    text = text.removeprefix("\ufeff")
    return _json(text) if file.endswith(".json") else _csv(text)


# ---------------------------------------------------------------- CSV (RFC 4180; with ";" as German spreadsheets do)


def _csv(text: str) -> Parsed:
    lines = _lines(text, _delimiter(text))
    _, columns = next(lines, (1, list[str]()))
    _check_columns(columns)
    rows: list[Row] = []
    for line, cells in lines:
        if len(cells) > len(columns):
            raise BadTable(f"this line has {len(cells)} cells, the header has {len(columns)} columns", line)
        rows.append(dict(zip(columns, cells + [""] * (len(columns) - len(cells)), strict=True)))
    return Parsed(tuple(columns), tuple(rows))


def _lines(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of each line that says something; cells that are empty to the end of the line are left out."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    begin = 1
    try:
        for cells in reader:
            found = [cell.strip() for cell in cells]
            while found and not found[-1]:
                found.pop()
            if found:
                yield begin, found
            begin = reader.line_num + 1
    except csv.Error as error:
        raise BadTable(f"cannot be read as CSV: {error}; is a quotation mark missing?", begin) from None


def _delimiter(text: str) -> str:
    """`;` where the header has one outside of quotation marks, else `,`."""
    try:
        _, header = next(_lines(text, ";"), (1, list[str]()))
    except BadTable:
        return ","
    return ";" if len(header) > 1 else ","


def _check_columns(columns: list[str]) -> None:
    if not columns:
        raise BadTable("the table is empty; its first line must name the columns", 1)
    for number, name in enumerate(columns, start=1):
        if not name:
            raise BadTable(f"column {number} has no name in the first line", 1)
        if name in columns[: number - 1]:
            raise BadTable(f"two columns have the name {name!r}", 1)


# ---------------------------------------------------------------- JSON


def _json(text: str) -> Parsed:
    try:
        data = json.loads(text, object_pairs_hook=_object, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise BadTable(f"cannot be read as JSON: {error.msg}", error.lineno, error.colno) from None
    except (ValueError, RecursionError) as error:  # a number of too many digits; brackets without end
        raise BadTable(f"cannot be read as JSON: {error}") from None
    rows = list(_rows(data))
    columns = dict.fromkeys(name for row in rows for name in row)
    if not columns:
        raise BadTable("the table is empty", 1)
    return Parsed(tuple(columns), tuple(rows))


def _object(pairs: list[tuple[str, Any]]) -> Row:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadTable(f"the name {twice!r} stands twice in one object")
    return found


def _no_number(word: str) -> Any:
    raise BadTable(f"{word} is no JSON")


def _rows(data: Any) -> Iterator[Row]:
    if type(data) is list:
        for number, item in enumerate(typing.cast("list[Any]", data), start=1):
            if type(item) is not dict:
                raise BadTable(f"entry {number} of the list is no object")
            yield item
        return
    if type(data) is not dict:
        raise BadTable('must be a list of objects, or an object of objects: {"B 3": {"level": "alarm"}}')
    for key, item in typing.cast("Row", data).items():
        if type(item) is not dict:
            raise BadTable(f"what stands under {key!r} is no object")
        if KEY in item:
            raise BadTable(f"the object under {key!r} has a {KEY!r} of its own; the name is taken by its outer name")
        yield {KEY: key, **item}
