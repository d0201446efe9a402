"""`revscript schema`: two files beside those that they describe."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from revscript.config.atomic import write_whole
from revscript.config.json_schema import account_schema, settings_schema
from tests.cli.command import no_traceback, revscript
from tests.instance import make_instance


def test_written_where_the_files_look_for_them(tmp_path: Path) -> None:
    make_instance(tmp_path, {"post": {"address": "einsatz@fuest.example"}})
    (tmp_path / ".schema.json").write_text("old")
    done = revscript("schema", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert done.out == "accounts/.schema.json written\n.schema.json written\n"
    assert json.loads((tmp_path / "accounts" / ".schema.json").read_text()) == account_schema()
    assert json.loads((tmp_path / ".schema.json").read_text()) == settings_schema()
    assert {path.name for path in tmp_path.rglob("*.*") if path.is_file()} == {
        "post.json",
        "settings.json",
        ".schema.json",
    }
    assert "1 account, 0 scripts" in revscript("check", cwd=tmp_path).out  # a schema is no account


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    make_instance(tmp_path, {})
    (tmp_path / ".schema.json").mkdir()
    done = revscript("schema", cwd=tmp_path)
    assert done.code == 2
    assert no_traceback(done)
    assert ".schema.json: Is a directory." in done.err
    assert (tmp_path / "accounts" / ".schema.json").exists()


def test_no_instance(tmp_path: Path) -> None:
    done = revscript("schema", cwd=tmp_path)
    assert (done.code, no_traceback(done)) == (2, True)


def test_written_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, "ä", mode=0o600)
    assert (path.read_text("utf-8"), path.stat().st_mode & 0o777) == ("ä", 0o600)
    write_whole(path, "new")
    assert path.read_text() == "new"
    with pytest.raises(FileExistsError):
        write_whole(path, "newer", replace=False)
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["file"]


def test_without_hard_links_nothing_is_overwritten_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise PermissionError(1, "no hard links here")

    monkeypatch.setattr(os, "link", none)
    path = tmp_path / "file"
    write_whole(path, "one", replace=False)
    with pytest.raises(FileExistsError):
        write_whole(path, "two", replace=False)
    assert path.read_text() == "one"
    assert os.listdir(tmp_path) == ["file"]
