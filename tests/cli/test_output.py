"""What commands print: nothing that steers a terminal, and lists that fit it."""

from __future__ import annotations

import json
from zoneinfo import ZoneInfo

import pytest

from revscript.cli.output import emit, rows_or_none
from revscript.snapshot import Instance
from tests.cli.command import revscript

BERLIN = ZoneInfo("Europe/Berlin")


def test_json_holds_no_control_character(capsys: pytest.CaptureFixture[str]) -> None:
    text = "".join(map(chr, [*range(0xA1), 0x2028, 0x2029])) + "ä€😀"
    emit({"subject": text})
    line = capsys.readouterr().out
    assert json.loads(line) == {"subject": text}
    assert line.endswith('ä€😀"}\n')
    assert [one for one in line[:-1] if one < " " or "\x7f" <= one < "\xa0" or one in "\u2028\u2029"] == []


@pytest.mark.parametrize("command", [("quarantine", "list"), ("show", "mails"), ("show", "forms")])
def test_a_narrow_terminal_shows_blocks(instance: Instance, command: tuple[str, ...]) -> None:
    narrow = revscript(*command, cwd=instance.root, COLUMNS="80").out
    assert max(map(len, narrow.splitlines())) <= 80
    assert "2026-03-01 12:00:05" in narrow
    wide = revscript(*command, cwd=instance.root, COLUMNS="160").out
    number = len(revscript(*command, "--json", cwd=instance.root).rows)
    assert len([line for line in narrow.splitlines() if line[0] != " "]) == number
    assert len(wide.splitlines()) == number + 1  # with its head


def test_a_block(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    row = {"mail": 7, "wished_level": "alarm", "error": "", "line": None, "late": False, "reason": "a\nb\x9b" * 9}
    rows_or_none([row], BERLIN, as_json=False)
    assert capsys.readouterr().out == "mail 7\n  wished level alarm, late no,\n    reason " + "a b" * 9 + "\n"


def test_what_fits_stays_a_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    rows_or_none([{"id": 1, "state": "sent"}], BERLIN, as_json=False)
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [["id", "state"], ["1", "sent"]]
