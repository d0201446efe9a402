"""`tables("name")`: the administrator's own tables, read-only."""

from __future__ import annotations

import difflib
import types
import typing
from typing import Any

from revscript.jail.scripting.objects.desk import Desk
from revscript.jail.scripting.offers import kind_of, offers
from revscript.jail.scripting.table_files import BadTable, Parsed, parse

Row = types.MappingProxyType[str, Any]


@offers("get find rows")
class Table:
    """A table: rows of named values. In CSV all values are texts; in JSON they are what stands there."""

    __slots__ = ("_by_key", "_columns", "_name", "rows")

    def __init__(self, name: str, parsed: Parsed) -> None:
        self._name = name
        self._columns = parsed.columns
        self.rows: tuple[Row, ...] = tuple(
            types.MappingProxyType({column: row.get(column) for column in parsed.columns}) for row in parsed.rows
        )
        key = parsed.columns[0]
        self._by_key: dict[str, Row] = {}
        for row in self.rows:
            text = _text(row[key])
            if text:  # a row without a key is nobody's: a mail that lacks the value must not find it
                self._by_key.setdefault(text, row)

    def __repr__(self) -> str:
        return f"<table {self._name}>"

    def get(self, key: Any, column: str | None = None) -> Any:
        """The first row whose first column is `key`, with `column` only that value; None when there is no such row.

        Empty text and what is neither text nor a whole number are nobody's key. KeyError: there is no such column.
        """
        self._check(column)
        text = _text(key)
        row = self._by_key.get(text) if text else None
        return row if row is None or column is None else row[column]

    def find(self, **columns: Any) -> tuple[Row, ...]:
        """All rows that have these values in these columns, in the table's order. KeyError: no such column."""
        for column in columns:
            self._check(column)
        return tuple(row for row in self.rows if all(_same(row[name], value) for name, value in columns.items()))

    def _check(self, column: str | None) -> None:
        # A mistyped column would find nothing for ever.
        if column is not None and column not in self._columns:
            raise KeyError(_absent(f"table '{self._name}' has no column", column, self._columns))


class Tables:
    """The tables of one run: each is read once, when it is first needed."""

    __slots__ = ("_desk", "_files", "_open")

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._files = {file.rpartition(".")[0]: file for file in desk.tables}
        self._open: dict[str, Table] = {}

    def __repr__(self) -> str:
        return "<revscript>"

    def tables(self, name: str) -> Table:
        """The table `user_scripts/tables/NAME.csv` or `.json`. KeyError: there is none, with the names there are."""
        if type(name) is not str:
            raise TypeError(f"a {kind_of(name).__name__} was given where a table's name is needed")
        if name not in self._files:
            raise KeyError(_absent("there is no table", name, tuple(self._files)))
        if name not in self._open:
            file = self._files[name]
            try:
                self._open[name] = Table(name, parse(file, self._desk.session.table(file)))
            except BadTable as bad:
                place = f", line {bad.line}" if bad.line else ""
                raise ValueError(f"table {file}{place}: {bad.text}") from None
        return self._open[name]


def _absent(what: str, name: str, there_are: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name.removesuffix(".csv").removesuffix(".json"), there_are, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    return f"{what} {name[:100]!r}; there are: {', '.join(there_are[:50]) or 'none'}{meant}"


def _text(value: Any) -> str | None:
    """The text by which a value is found: a number in a mail is a text, in JSON it may be a number."""
    if type(value) is str:
        return value
    return str(value) if type(value) is int else None


def _same(cell: Any, value: Any) -> bool:
    if type(cell) is type(value):
        return bool(cell == value)
    text = _text(cell)
    return text == _text(value) if text is not None else typing.cast("bool", cell == value)
