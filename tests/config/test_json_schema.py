"""The JSON Schemas accept every good file and refuse every bad one that a schema can refuse."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from jsonschema import Draft202012Validator

from revscript.config.findings import Finding
from revscript.config.json_schema import DIALECT, account_schema, settings_schema
from revscript.demo.instance import SETTINGS, make
from tests.cli.filled import ACCOUNT
from tests.config.instances import ROOT, environ_of, instance_of, snapshot_of
from tests.config.test_models import EVERYTHING

SCHEMAS = {"account": account_schema(), "settings": settings_schema()}
CASES = sorted(path for path in (ROOT / "tests" / "bad_config").iterdir() if path.is_dir())

# Errors that only the program can refuse, and why. What a schema could refuse has no place here.
ONLY_THE_PROGRAM = {
    "after_moves_nowhere": "one value is compared with another one",
    "bad_account_name": "a schema sees no file names",
    "ca_file_no_certificate": "a schema opens no other file",
    "ca_file_not_there": "a schema opens no other file",
    "folders_twice": "INBOX is the same in any case",
    "json_nan": "what is no JSON never comes before a schema",
    "json_twice": "of a doubled key a schema sees the last value",
    "same_mailbox": "a schema sees one file",
    "script_almost_there": "a schema opens no other file",
    "script_not_there": "a schema opens no other file",
    "secret_not_there": "a schema sees no secrets",
    "settings_order": "a schema compares no numbers with each other",
    "settings_time_zone": "which time zones there are, the machine knows",
}


def refused(kind: str, content: Any) -> list[str]:
    """Where a schema refuses a file, each place with its reason."""
    errors = Draft202012Validator(SCHEMAS[kind]).iter_errors(content)
    return [f"{error.json_path}: {error.message}" for error in errors]


def kind_of(path: Path) -> str:
    return "settings" if path.name == "settings.json" else "account"


def files_of(case: Path) -> Iterator[tuple[Path, Any]]:
    """The files of a case that are JSON; for others, no editor asks a schema."""
    for path in sorted(case.glob("*.json")):
        if path.name == "environ.json":
            continue
        try:
            yield path, json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            assert "json" in case.name or "utf8" in case.name, "only cases about JSON itself are none"


def errors_of(case: Path, root: Path) -> dict[str, list[Finding]]:
    """The program's errors by the name of the file."""
    found: dict[str, list[Finding]] = {}
    for finding in snapshot_of(instance_of(case, root), environ_of(case)).errors:
        found.setdefault(Path(finding.file).name, []).append(finding)
    return found


@pytest.mark.parametrize("kind", SCHEMAS)
def test_it_is_a_schema_of_2020_12(kind: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[kind])
    assert SCHEMAS[kind]["$schema"] == DIALECT


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_files(case: Path, tmp_path: Path) -> None:
    wrong = errors_of(case, tmp_path)
    accepted: list[str] = []
    for path, content in files_of(case):
        reasons = refused(kind_of(path), content)
        if path.name not in wrong:
            assert reasons == [], f"{path.name} is good for the program"
        elif not reasons:
            accepted.append(path.name)
    assert bool(accepted) == (case.name in ONLY_THE_PROGRAM), "mend the schema or the list"


def test_the_list_is_about_cases_that_there_are() -> None:
    assert not set(ONLY_THE_PROGRAM) - {case.name for case in CASES}


def test_good_files(tmp_path: Path) -> None:
    demo = make(tmp_path, "x", 1143, 1025)
    paths = [ROOT / "accounts" / "example.json", *demo.accounts.glob("*.json")]
    assert len(paths) > 3
    for path in paths:
        assert refused("account", json.loads(path.read_text())) == [], path
    assert refused("settings", SETTINGS) == []
    assert refused("settings", {}) == []
    for content in (ACCOUNT, EVERYTHING, {"address": "a@b.example"}):
        assert refused("account", content) == []


@pytest.mark.parametrize("value", [True, False, None, {}])
def test_methods_are_switched(value: Any) -> None:
    names = ("script", "document", "centre", "mission_folder")
    assert refused("account", {"address": "a@b.example", "methods": dict.fromkeys(names, value)}) == []


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Every object of a schema."""
    if isinstance(schema, dict):
        yield cast("dict[str, Any]", schema)
        schema = list(cast("dict[str, Any]", schema).values())
    if isinstance(schema, list):
        for one in cast("list[Any]", schema):
            yield from nodes(one)


BY_MACHINE = ("jail", "children")  # settings whose default depends on the machine


@pytest.mark.parametrize("kind", SCHEMAS)
def test_what_editors_show(kind: str) -> None:
    objects = [node for node in nodes(SCHEMAS[kind]) if node.get("type") == "object"]
    assert objects
    for node in objects:
        assert node["additionalProperties"] is False
        for name, one in node["properties"].items():
            assert one["description"].endswith("."), name
            assert "default" in one or name in node.get("required", ()) or name in BY_MACHINE, name


def test_patterns_are_those_of_ecma_262() -> None:
    """Editors take regular expressions in Unicode mode, where few characters may be escaped."""
    for kind in SCHEMAS.values():
        for node in nodes(kind):
            if isinstance(pattern := node.get("pattern"), str):
                for escaped in re.findall(r"\\(.)", pattern):
                    assert escaped in r"^$\.*+?()[]{}|/-sSdDwWxu", pattern
