"""`revscript show`: exact values and keys, from an instance that was filled by commits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from revscript.cli import app
from revscript.snapshot import Instance
from tests.cli.command import no_traceback, revscript

AT = "2026-03-01T11:00:05.000+00:00"

MAILS: list[dict[str, Any]] = [
    {
        "id": 3,
        "account": "post",
        "received": AT,
        "from": None,
        "subject": None,
        "state": "received",
        "settled": False,
        "size": 16,
        "fallback": None,
        "tasks": {"script": "waiting", "document": "waiting"},
        "labels": [],
    },
    {
        "id": 2,
        "account": "post",
        "received": AT,
        "from": "alarm@leitstelle.example",
        "subject": "Störung",
        "state": "read",
        "settled": False,
        "size": 16,
        "fallback": False,
        "tasks": {"script": "quarantined", "document": "waiting"},
        "labels": [],
    },
    {
        "id": 1,
        "account": "post",
        "received": AT,
        "from": "alarm@leitstelle.example",
        "subject": "B 3 Beispielweg 7",
        "state": "done",
        "settled": True,
        "size": 16,
        "fallback": False,
        "tasks": {"script": "done", "document": "done"},
        "labels": ["Alarm"],
    },
]

LISTS: dict[str, list[dict[str, Any]]] = {
    "mails": MAILS,
    "forms": [
        {
            "id": 1,
            "number": 1,
            "mission": "2026-0815",
            "state": "to_review",
            "priority": "flash",
            "subject": "B 3 Beispielweg 7",
            "received": AT,
            "mails": [1],
        }
    ],
    "missions": [
        {
            "id": 1,
            "number": "2026-0815",
            "keyword": "B 3",
            "title": "",
            "address": "Beispielweg 7",
            "state": "running",
            "opened": AT,
            "folder": 1,
        }
    ],
    "notices": [
        {
            "level": "important",
            "wished_level": "alarm",
            "audience": "role",
            "name": "S3",
            "text": "B 3 [bold]Beispielweg[/bold]",
            "updates": 0,
            "at": AT,
        }
    ],
    "outbox": [
        {
            "id": 1,
            "lane": "smtp:post",
            "state": "pending",
            "to": ["wehr@fuest.example", "stab@fuest.example"],
            "subject": "Alarm",
            "tries": 0,
            "next": None,
            "error": "",
        }
    ],
    "quarantine": [
        {
            "mail": 2,
            "account": "post",
            "method": "script",
            "attempts": 2,
            "reason": "KeyError: 'Stichwort' (line 7)",
            "line": 7,
            "from": "alarm@leitstelle.example",
            "subject": "Störung",
        }
    ],
}


@pytest.mark.parametrize("what", LISTS)
def test_json_is_exact(what: str, instance: Instance) -> None:
    done = CliRunner().invoke(app, ["show", what, "--json", "--instance", str(instance.root)])
    assert (done.exit_code, done.stderr) == (0, "")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows == LISTS[what]
    assert [list(row) for row in rows] == [list(row) for row in LISTS[what]]


def test_limit_and_the_instance_from_elsewhere(instance: Instance, tmp_path: Path) -> None:
    done = revscript("show", "mails", "--limit", "1", "--json", "--instance", instance.root, cwd=tmp_path)
    assert [row["id"] for row in done.rows] == [3]


def test_people_see_local_times_and_no_markup(instance: Instance, tmp_path: Path) -> None:
    done = revscript("show", "notices", cwd=tmp_path, REVSCRIPT_HOME=str(instance.root))
    head, line = done.out.splitlines()
    assert head.split() == ["level", "wished", "level", "audience", "name", "text", "updates", "at"]
    assert "B 3 [bold]Beispielweg[/bold]" in line
    assert "2026-03-01 12:00:05" in line


def test_one_mail_whole(instance: Instance) -> None:
    [mail] = revscript("show", "mails", "1", "--json", cwd=instance.root).rows
    assert {key: mail[key] for key in MAILS[2] if key != "tasks"} == {
        key: value for key, value in MAILS[2].items() if key != "tasks"
    }
    assert mail["settled_by"] == "seen"
    assert mail["message_id"] == "1@leitstelle.example"
    script, document = mail["tasks"]
    assert (script["method"], script["state"], script["attempts"], script["exit"]) == ("script", "done", 1, "done")
    [run] = script["runs"]
    assert run["log"] == ["hallo"]
    assert run["error"] is None
    assert run["effects"][0] == "mission 2026-0815: B 3 Beispielweg 7"
    assert run["effects"][-1] == "label 'Alarm'"
    assert document["runs"][0]["by"] == "method:document"
    targets = [one["target"] for one in mail["applied"]]
    assert targets == ["mission:1", "form:1", "mission:1", "notice:1", "act:1", "mail:1", "form:1"]


def test_one_failed_mail_for_people(instance: Instance) -> None:
    done = revscript("show", "mails", "2", cwd=instance.root)
    assert "script: quarantined, try 2\n" in done.out
    assert done.out.count("KeyError: 'Stichwort' (line 7)") == 3
    assert "not done: notice (info) to all: x" in done.out


def test_what_is_not_there_is_an_error(instance: Instance, tmp_path: Path) -> None:
    missing = revscript("show", "mails", "99", cwd=instance.root)
    assert (missing.code, missing.err) == (1, "error: There is no mail 99.\n")
    nowhere = revscript("show", "forms", cwd=tmp_path)
    assert nowhere.code == 2
    assert no_traceback(nowhere)
    (tmp_path / "accounts").mkdir()
    empty = revscript("show", "forms", cwd=tmp_path)
    assert empty.code == 2
    assert "there is no database yet" in empty.err
    assert not (tmp_path / "data").exists()
