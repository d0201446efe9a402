"""Tables: CSV and JSON, looked up by key and by column."""

from __future__ import annotations

from typing import Any

import pytest

from revscript.jail.scripting.table_files import BadTable, Parsed, parse
from tests.scripting.fake import FakeSession, run

UNITS = 'Funk;Name;Ort\n1/44;"Florian; eins";Süd\n 1/45 ;Florian 2;Süd\n\n2/44;Florian 3;\n1/44;zweiter;Nord\n'
LEVELS = '{"B 3": {"level": "alarm", "n": 3, "tags": ["x"]}, "H 1": {"level": "info"}}'
GAPS = "unit;mail\nA1;a1@wache.example\n;alle@wache.example\n"
PHONES = '[{"nr": 1, "name": "A"}, {"nr": 2.5, "name": null}, {"nr": "2", "more": true}]'


def logged(body: str, **tables: str) -> list[str]:
    session = FakeSession()
    session.tables = {"units.csv": UNITS, "levels.json": LEVELS, "phones.json": PHONES, "gaps.csv": GAPS} | tables
    return run(body, session).lines


def value(expression: str) -> str:
    return logged(f"log({expression})")[-1]


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("tables('units').get('1/44')['Name']", "Florian; eins"),  # the first one counts
        ("tables('units').get('1/45', 'Name')", "Florian 2"),
        ("tables('units').get('2/44', 'Ort') == ''", "True"),
        ("tables('units').get('9/99')", "None"),
        ("tables('units').get('9/99', 'Name')", "None"),
        ("tables('units').get('')", "None"),
        ("[tables('gaps').get(key) for key in (None, '', [], {}, 1.5, True, mail)]", "[" + "None, " * 6 + "None]"),
        ("[row['mail'] for row in tables('gaps').find(unit='')]", "['alle@wache.example']"),
        ("[row['Funk'] for row in tables('units').find(Ort='Süd')]", "['1/44', '1/45']"),
        ("[row['Name'] for row in tables('units').find(Funk='1/44', Ort='Nord')]", "['zweiter']"),
        ("tables('units').find(Ort='West')", "()"),
        ("len(tables('units').find())", "4"),
        ("len(tables('units').rows), list(tables('units').rows[0])", "4 ['Funk', 'Name', 'Ort']"),
        ("dict(tables('units').get('1/45'))", "{'Funk': '1/45', 'Name': 'Florian 2', 'Ort': 'Süd'}"),
        ("tables('levels').get('B 3', 'level')", "alarm"),
        ("dict(tables('levels').get('H 1'))", "{'key': 'H 1', 'level': 'info', 'n': None, 'tags': None}"),
        ("[row['key'] for row in tables('levels').find(n=3)]", "['B 3']"),
        ("tables('phones').get('1', 'name'), tables('phones').get(1, 'name')", "A A"),
        ("tables('phones').get(2, 'more'), tables('phones').get(2.5)", "True None"),
        ("[row['nr'] for row in tables('phones').find(nr=2.5)]", "[2.5]"),
        ("[row['nr'] for row in tables('phones').find(name=None)]", "[2.5, '2']"),
        ("[row['nr'] for row in tables('phones').find(more=1)]", "['2']"),
        ("tables('units') is tables('units'), repr(tables('units'))", "True <table units>"),
    ],
)
def test_looking_up(expression: str, result: str) -> None:
    assert value(expression) == result


@pytest.mark.parametrize(
    ("expression", "error", "text"),
    [
        (
            "tables('unist')",
            KeyError,
            "'unist'; there are: units, levels, phones, gaps, bad, worse; did you mean 'units'?",
        ),
        ("tables('units.csv')", KeyError, "did you mean 'units'?"),
        ("tables(1)", TypeError, "a int was given where a table's name is needed"),
        ("tables('units').get('1/44', 'Nmae')", KeyError, "no column 'Nmae'; there are: Funk, Name, Ort; did you mean"),
        ("tables('units').find(Nmae='x')", KeyError, "table 'units' has no column 'Nmae'"),
        ("tables('bad')", ValueError, "table bad.csv, line 2: this line has 2 cells"),
        ("tables('worse')", ValueError, "table worse.json, line 1: cannot be read as JSON"),
        ("getattr(tables('units'), '_rows')", AttributeError, "offers no '_rows'"),
        ("tables('units').row", AttributeError, "did you mean 'rows'?"),
    ],
)
def test_what_is_not_there(expression: str, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        logged(f"x = {expression}", **{"bad.csv": "a\n1,2\n", "worse.json": "{"})
    assert text in str(caught.value)


def test_without_tables() -> None:
    with pytest.raises(KeyError, match="there are: none"):
        run("tables('x')")


def test_rows_cannot_be_changed() -> None:
    with pytest.raises(TypeError, match="cannot be changed by scripts"):
        logged("tables('units').rows[0]['Ort'] = 'x'")


def test_a_table_is_asked_for_once() -> None:
    asked: list[str] = []

    class Counting(FakeSession):
        def table(self, file: str) -> str:
            asked.append(file)
            return super().table(file)

    session = Counting()
    session.tables = {"units.csv": UNITS}
    run("tables('units').rows\ntables('units').rows", session)
    assert asked == ["units.csv"]


# ---------------------------------------------------------------- files


def columns_and_cells(file: str, text: str) -> tuple[tuple[str, ...], list[list[Any]]]:
    found: Parsed = parse(file, text)
    return found.columns, [[row.get(name) for name in found.columns] for row in found.rows]


@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        ("a,b\n1,2", ("a", "b"), [["1", "2"]]),
        ("a;b\r\n1;2\r\n", ("a", "b"), [["1", "2"]]),
        ("a\n1\n2\n", ("a",), [["1"], ["2"]]),
        ("\ufeffa;b\n1;2", ("a", "b"), [["1", "2"]]),
        ("a, b;c\n1,5;2", ("a, b", "c"), [["1,5", "2"]]),
        ('"a;x",b\n1,2', ("a;x", "b"), [["1", "2"]]),
        ('a;b\n"1\n2";"x ""y"""\n', ("a", "b"), [["1\n2", 'x "y"']]),
        ("\n\n a ; b ;;\n1;;;\n;2\n", ("a", "b"), [["1", ""], ["", "2"]]),
        ("a;b", ("a", "b"), []),
    ],
)
def test_csv(text: str, columns: tuple[str, ...], rows: list[list[str]]) -> None:
    assert columns_and_cells("x.csv", text) == (columns, rows)


@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        ('[{"a": 1, "b": "x"}, {"c": null}]', ("a", "b", "c"), [[1, "x", None], [None, None, None]]),
        ('{"k": {"a": [1]}}', ("key", "a"), [["k", [1]]]),
        ('\ufeff{"k": {}}', ("key",), [["k"]]),
    ],
)
def test_json(text: str, columns: tuple[str, ...], rows: list[list[Any]]) -> None:
    assert columns_and_cells("x.json", text) == (columns, rows)


@pytest.mark.parametrize(
    ("file", "text", "line", "said"),
    [
        ("x.csv", "", 1, "the table is empty"),
        ("x.csv", "\n \n", 1, "the table is empty"),
        ("x.csv", "a;;b\n", 1, "column 2 has no name"),
        ("x.csv", "a;b;a\n", 1, "two columns have the name 'a'"),
        ("x.csv", 'a;b\n1;2\n"x\ny";2;3\n', 3, "this line has 3 cells, the header has 2 columns"),
        ("x.csv", 'a;b\n1;2\n"1;2\n3;4\n', 3, "cannot be read as CSV"),
        ("x.csv", 'a;b\n"1"x;2\n', 2, "cannot be read as CSV"),
        ("x.csv", "a;b\n" + "x" * 200_000 + ";1\n", 2, "cannot be read as CSV"),
        ("x.json", '{"a":\n x}', 2, "cannot be read as JSON: Expecting value"),
        ("x.json", "[1]", None, "entry 1 of the list is no object"),
        ("x.json", "1", None, "must be a list of objects"),
        ("x.json", '{"a": 1}', None, "what stands under 'a' is no object"),
        ("x.json", '{"a": {"key": 1}}', None, "has a 'key' of its own"),
        ("x.json", '{"a": {"b": 1, "b": 2}}', None, "'b' stands twice"),
        ("x.json", '{"a": {}, "a": {}}', None, "'a' stands twice"),
        ("x.json", '[{"a": NaN}]', None, "NaN is no JSON"),
        ("x.json", "[]", 1, "the table is empty"),
        ("x.json", "[" * 100_000, None, "cannot be read as JSON"),
        ("x.json", '[{"a": ' + "9" * 5000 + "}]", None, "cannot be read as JSON"),
    ],
)
def test_what_is_no_table(file: str, text: str, line: int | None, said: str) -> None:
    with pytest.raises(BadTable) as caught:
        parse(file, text)
    assert said in caught.value.text
    assert caught.value.line == line
