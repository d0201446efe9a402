"""Putting sets together: what a script needs, and whose problem it is when something is missing."""

from __future__ import annotations

from typing import Any

import pytest

from revscript.jail.wire import OutlineFrame
from revscript.model import sha256_hex
from revscript.sandbox import Sandbox
from revscript.sandbox.checked import MOST_TEXTS, Compiled, Kept
from revscript.sandbox.conversation import JobEnd
from revscript.sandbox.sets import Assembled, assemble, assemble_one

SCRIPT = "def onEMail(mail):\n    pass\n"
USING = "from units import convert\n" + SCRIPT
UNITS = "from words import upper\n\ndef convert(x):\n    return upper(x)\n"
WORDS = "def upper(x):\n    return x.upper()\n"
TABLE = "Funk;Name\n1;A\n"


def texts(**files: str) -> dict[str, str]:
    return {f"{name}.py": text for name, text in files.items()}


def said(found: Assembled, file: str) -> list[str]:
    return [str(one) for one in found.refused[file]]


def put(sandbox: Sandbox, tables: dict[str, str] | None = None, /, **files: str) -> Assembled:
    return assemble(texts(**files), tables or {}, sandbox)


def test_a_script_alone_is_its_text(sandbox: Sandbox) -> None:
    found = put(sandbox, {"units.csv": TABLE}, onEMail=SCRIPT, words=WORDS)
    script = found.scripts["onEMail.py"]
    assert (script.name, script.text, script.sha256) == ("onEMail.py", SCRIPT, sha256_hex(SCRIPT))
    assert (script.libraries, script.tables, found.problems) == ({}, {}, ())
    assert list(found.scripts) == ["onEMail.py"]


def test_a_set_has_what_is_needed_and_nothing_else(sandbox: Sandbox) -> None:
    found = put(sandbox, {"units.csv": TABLE}, onEMail=USING, units=UNITS, words=WORDS, other="x = 1\n")
    script = found.scripts["onEMail.py"]
    assert script.libraries == {"units": UNITS, "words": WORDS}
    assert script.tables == {}
    assert found.problems == ()


def test_the_hash_is_over_the_whole_set(sandbox: Sandbox) -> None:
    using = "from units import x\n\ndef onEMail(mail):\n    pass\n"
    tabular = "x = tables('units')\n"

    def sha(units: str, other: str = "", table: str = TABLE) -> str:
        tables = {"units.csv": table, "other.csv": TABLE}
        return put(sandbox, tables, onEMail=using, units=units, other=other).scripts["onEMail.py"].sha256

    assert sha("x = 1\n") == sha("x = 1\n", other="y = 1\n") == sha("x = 1\n", table="a\n1\n")
    assert len({sha("x = 1\n"), sha("x = 2\n"), sha(tabular), sha(tabular, table="a\n1\n")}) == 4


def test_tables_that_are_named_and_all_of_them(sandbox: Sandbox) -> None:
    tables = {"units.csv": TABLE, "levels.json": '[{"a": 1}]'}

    def taken(expression: str) -> list[str]:
        files = texts(onEMail=f"def onEMail(mail):\n    log({expression})\n")
        return list(assemble(files, tables, sandbox).scripts["onEMail.py"].tables)

    assert taken("tables('units')") == ["units.csv"]
    assert taken("tables(mail.subject)") == ["levels.json", "units.csv"]
    assert taken("1") == []


def test_tables_of_a_library_are_in_the_set(sandbox: Sandbox) -> None:
    found = put(sandbox, {"units.csv": TABLE}, onEMail=USING, units="def convert(x):\n    return tables('units')\n")
    assert found.scripts["onEMail.py"].tables == {"units.csv": TABLE}


@pytest.mark.parametrize(
    ("files", "problems"),
    [
        (
            {"onEMail": "from unist import convert\n" + SCRIPT, "units": "x = 1"},
            ["onEMail.py, line 1, column 1: module 'unist' is not available to scripts, and there is "],
        ),
        (
            {
                "onEMail": "x = 1\n\n\ndef onEMail(mail):\n    from units import convrt, convert\n",
                "units": UNITS,
                "words": WORDS,
            },
            ["onEMail.py, line 5, column 5: library units.py has no 'convrt'; did you mean 'convert'?"],
        ),
        (
            {"onEMail": USING, "units": UNITS},
            ["units.py, line 1, column 1: module 'words' is not available to scripts, and there is"],
        ),
        (
            {
                "onEMail": USING,
                "units": "from words import a\nconvert = 1\n",
                "words": "x = 1\nfrom units import convert\na = 1",
            },
            ["words.py, line 2, column 1: imports go in a circle: units → words → units; "],
        ),
        (
            {"onEMail": USING, "units": "def convert(x:\n    pass\n"},
            ["units.py, line 1, column 12: '(' was never closed"],
        ),
        (
            {"onEMail": "import os\n" + USING, "units": "class A: pass\ndef convert(x): pass\n"},
            [
                "onEMail.py, line 1, column 8: module 'os' is not available to scripts; there are: ",
                "units.py, line 1, column 1: classes are not available in scripts; use functions and dicts",
            ],
        ),
        (
            {"onEMail": USING, "units": SCRIPT},
            ["onEMail.py, line 1, column 1: units.py is a script, because it has onEMail; "],
        ),
        ({"onEMail": "def onEMail():\n    pass\n"}, ["onEMail.py, line 1, column 1: onEMail gets one argument"]),
        (
            {"onEMail": "def onEMail(mail):\n    log(tables('unist').rows)\n"},
            ["onEMail.py, line 2, column 16: there is no table 'unist'; there are: bad, units; did you mean 'units'?"],
        ),
        (
            {"onEMail": "def onEMail(mail):\n    log(tables('bad').rows)\n"},
            ["tables/bad.csv, line 2, column 1: this line has 3 cells, the header has 2 columns"],
        ),
    ],
)
def test_what_keeps_a_script_out(sandbox: Sandbox, files: dict[str, str], problems: list[str]) -> None:
    found = put(sandbox, {"units.csv": TABLE, "bad.csv": "a;b\n1;2;3\n"}, **files)
    assert "onEMail.py" not in found.scripts
    assert len(said(found, "onEMail.py")) == len(problems)
    for line, expected in zip(said(found, "onEMail.py"), problems, strict=True):
        assert line.startswith(expected)


def test_one_broken_file_hurts_only_those_that_need_it(sandbox: Sandbox) -> None:
    found = put(sandbox, one=USING, two=SCRIPT, three="def onEMail(mail:\n", units="import os\n", stray="import sys\n")
    assert list(found.scripts) == ["two.py"]
    assert sorted(found.refused) == ["one.py", "three.py"]
    assert [str(one).partition(" is")[0] for one in found.others] == ["stray.py, line 1, column 8: module 'sys'"]
    assert [one.file for one in found.problems] == ["stray.py", "three.py", "units.py"]


def test_libraries_and_tables_that_nobody_needs_are_checked_too(sandbox: Sandbox) -> None:
    found = put(
        sandbox,
        {"bad.csv": "a;a\n", "units.csv": TABLE, "units.json": '[{"a": 1}]', "a\nb.csv": TABLE},
        lonely="from nowhere import x\n",
        **{"my-lib": "x = 1\n"},
    )
    assert (found.scripts, found.refused) == ({}, {})
    assert [(one.file, one.line) for one in found.others] == [
        ("lonely.py", 1),
        ("my-lib.py", None),
        ("tables/a\nb.csv", None),
        ("tables/bad.csv", 1),
        ("tables/units.csv", None),
        ("tables/units.json", None),
    ]


def test_a_file_that_must_be_a_script(sandbox: Sandbox) -> None:
    found = assemble(texts(alarm="x = 1\n"), {}, sandbox, {"alarm.py", "gone.py"})
    assert said(found, "alarm.py") == [
        "alarm.py, line 1, column 1: the script has no function; write: def onEMail(mail):"
    ]
    assert assemble(texts(alarm="x = 1\n"), {}, sandbox).problems == ()


def test_one_script_alone(sandbox: Sandbox) -> None:
    files = texts(onEMail=USING, units=UNITS, words=WORDS, broken="import os\n")
    script = assemble_one("onEMail.py", files, {"bad.csv": "a;a\n"}, sandbox)
    assert not isinstance(script, tuple)
    assert script == assemble(files, {}, sandbox).scripts["onEMail.py"]
    refused = assemble_one("onEMail.py", texts(onEMail="x = 1\n"), {}, sandbox)
    assert isinstance(refused, tuple)


def test_a_long_chain_ends(sandbox: Sandbox) -> None:
    chain = {f"l{n}": f"from l{n + 1} import x\n" for n in range(110)}
    found = put(sandbox, {}, onEMail="from l0 import x\n" + SCRIPT, **chain)
    assert said(found, "onEMail.py") == ["l99.py, line 1, column 1: a script may import at most 100 libraries"]


def test_each_text_is_compiled_once(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    real = Sandbox._compile

    def counting(self: Sandbox, text: str) -> Compiled:
        compiled.append(text)
        return real(self, text)

    monkeypatch.setattr(Sandbox, "_compile", counting)
    unique = "# only here\n"
    files = texts(a=unique + USING, b=unique + USING + "\n", units=unique + UNITS, words=unique + WORDS)
    for _ in range(2):
        assert assemble(files, {}, sandbox).problems == ()
    assert sorted(compiled) == sorted(files.values())


def test_what_is_kept_has_an_end() -> None:
    kept, made = Kept(), list[str]()

    def get(key: str, size: int) -> Any:
        def make() -> Compiled:
            made.append(key)
            return Compiled(JobEnd("done"), OutlineFrame(), bytes(size))

        return kept.get(key, make)

    for number in range(MOST_TEXTS + 1):
        get(str(number), 1)
    get("0", 1)
    get(str(MOST_TEXTS), 1)
    assert made[MOST_TEXTS + 1 :] == ["0"]
    for number in range(70):
        get(f"large {number}", 1 << 20)
    get("large 69", 1)
    get("large 0", 1)
    assert made[-2:] == ["large 69", "large 0"]
