"""`revscript check`: every finding, its place, and the exit code."""

from __future__ import annotations

from pathlib import Path

from revscript.snapshot import Instance
from tests.cli.command import revscript
from tests.cli.filled import ACCOUNT
from tests.instance import make_instance

KEYS = ["severity", "file", "place", "line", "column", "text"]


def test_fine(instance: Instance) -> None:
    done = revscript("check", cwd=instance.root)
    assert (done.code, done.out, done.err) == (0, "1 account, 1 script: fine\n", "")
    as_json = revscript("check", "--json", cwd=instance.root)
    assert (as_json.code, as_json.out) == (0, "")


def test_errors_have_places(tmp_path: Path) -> None:
    scripts = {
        "alarm.py": "import os\n\ndef onEMail(mail):\n    class A: pass\n",
        "words.py": "LEVELS = {'B 3': 'alarm'}\n",
    }
    account = {"address": "einsatz@fuest.example", "methods": {"script": {"file": "alarm.py"}}, "colour": "red"}
    make_instance(tmp_path, {"post": account}, scripts, {"tries": [3, 1]})
    done = revscript("check", "--json", cwd=tmp_path)
    assert done.code == 1
    assert all(list(row) == KEYS for row in done.rows)
    places = [(row["severity"], row["file"], row["place"], row["line"], row["column"]) for row in done.rows]
    assert ("error", "accounts/post.json", "colour", None, None) in places
    assert ("error", "settings.json", "tries", None, None) in places
    assert places[-2:] == [
        ("error", "user_scripts/alarm.py", "", 1, 8),
        ("error", "user_scripts/alarm.py", "", 4, 5),
    ]
    plain = revscript("check", cwd=tmp_path)
    assert plain.code == 1
    assert "error: settings.json: tries: must be ascending\n" in plain.out
    assert "error: user_scripts/alarm.py: line 1, column 8: " in plain.out
    assert plain.out.splitlines()[-1].startswith("0 accounts, 2 scripts: ")


def test_warnings_alone_are_no_failure(tmp_path: Path) -> None:
    make_instance(tmp_path, {"post": ACCOUNT | {"authentication": {"method": "none"}}})
    account = ACCOUNT | {"receiving": {"protocol": "none"}, "methods": {}}
    account["authentication"] = {"method": "password", "username": "einsatz", "password": "in-clear-hunter2"}
    make_instance(tmp_path, {"post": account}, {"onEMail.py": "def onEMail(mail):\n    pass\n"})
    done = revscript("check", cwd=tmp_path)
    assert done.code == 0
    assert "warning: accounts/post.json: " in done.out
    assert "hunter2" not in done.out
    assert "warning: user_scripts/onEMail.py: no account runs this script" in done.out
    assert done.out.endswith("1 account, 1 script: 2 warnings\n")


def test_settings_of_the_environment_are_checked(tmp_path: Path) -> None:
    make_instance(tmp_path, {"post": {"address": "einsatz@fuest.example", "enabled": False}}, settings={"tries": [0]})
    done = revscript("check", "--json", cwd=tmp_path, REVSCRIPT_WEB__PORT="0", REVSCRIPT_WEB_HOST="x")
    assert done.code == 1
    assert [(row["severity"], row["file"], row["place"]) for row in done.rows if row["severity"] == "error"] == [
        ("error", "environment", "REVSCRIPT_WEB_HOST"),
        ("error", "environment", "REVSCRIPT_WEB__PORT"),
    ]
    assert revscript("check", cwd=tmp_path, REVSCRIPT_WEB__PORT="9000").code == 0


def test_a_script_that_no_account_runs(tmp_path: Path) -> None:
    scripts = {"alarm.py": "def onEMail(mail):\n    pass\n", "words.py": "LEVELS = {'B 3': 'alarm'}\n"}
    make_instance(tmp_path, {"post": {"address": "einsatz@fuest.example", "enabled": False}}, scripts)
    done = revscript("check", cwd=tmp_path)
    assert done.code == 0
    assert "warning: user_scripts/alarm.py: no account runs this script" in done.out
    assert "words.py" not in done.out
