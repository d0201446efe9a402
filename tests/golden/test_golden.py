"""Every golden case ends as reviewed. `make golden` rewrites the outcomes; the diff is the review."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

import pytest

from tests.golden import files, runner


@pytest.mark.parametrize("name", files.names())
def test_ends_as_reviewed(name: str, tmp_path: Path) -> None:
    case = files.FOLDER / name
    expected, actual = case / "outcome.json", runner.outcome(case, tmp_path)
    if os.environ.get("REWRITE_GOLDEN"):
        expected.write_text(actual, encoding="utf-8")
    reviewed = expected.read_text(encoding="utf-8") if expected.exists() else ""
    if actual != reviewed:
        lines = difflib.unified_diff(reviewed.splitlines(), actual.splitlines(), "reviewed", "now", n=4, lineterm="")
        pytest.fail("\n".join(["ends otherwise; is that right? then `make golden`", *lines]), pytrace=False)


def test_there_are_enough() -> None:
    assert len(files.names()) >= 25


@pytest.mark.parametrize("name", files.names())
def test_folder_holds_only_what_is_looked_at(name: str) -> None:
    case = files.FOLDER / name
    known = {"account.json", "settings.json", "script.py", "case.json", "outcome.json", "beside"}
    known |= {file.name for file in files.mails(case)}
    assert {file.name for file in case.iterdir()} <= known
    assert files.mails(case)
