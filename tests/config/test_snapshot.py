"""The snapshot of an instance: scripts, hash, and that it does not change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from revscript.config import Account
from revscript.snapshot import Instance, Snapshot, load_snapshot
from tests.config.instances import ROOT, instance_of, snapshot_of

ACCOUNT = {
    "address": "einsatz@fuest.example",
    "authentication": {"method": "password", "username": "einsatz", "password": "secret:post"},
    "receiving": {"protocol": "imap", "host": "imap.fuest.example"},
    "methods": {"script": True},
}


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    """An instance with one account, one script and one secret."""
    instance = instance_of(tmp_path / "no case", tmp_path)
    (instance.accounts / "post.json").write_text(json.dumps(ACCOUNT))
    secret(instance, "one")
    return instance


def secret(instance: Instance, value: str) -> None:
    instance.secrets.mkdir(exist_ok=True)
    (instance.secrets / "post").write_text(value)
    (instance.secrets / "post").chmod(0o600)


def test_whole(instance: Instance) -> None:
    snapshot = snapshot_of(instance)
    assert snapshot.findings == ()
    assert list(snapshot.accounts) == ["post"]
    script = snapshot.script_of(snapshot.accounts["post"])
    assert script
    assert script.name == "onEMail.py"
    assert len(script.sha256) == 64
    assert snapshot == snapshot_of(instance)


def test_immutable(instance: Instance) -> None:
    snapshot = snapshot_of(instance)
    with pytest.raises(TypeError):
        snapshot.accounts["x"] = Account(address="x@fuest.example")  # pyright: ignore[reportIndexIssue]
    with pytest.raises(AttributeError):
        snapshot.sha256 = ""  # pyright: ignore[reportAttributeAccessIssue]


def test_the_hash_follows_what_counts_and_no_secret(instance: Instance) -> None:
    first = snapshot_of(instance)
    secret(instance, "two")
    second = snapshot_of(instance)
    assert first.sha256 == second.sha256
    assert first.accounts != second.accounts  # so that the watcher of this account starts anew
    (instance.accounts / "post.json").write_text(json.dumps(ACCOUNT, indent=8))
    assert snapshot_of(instance).sha256 == first.sha256
    (instance.user_scripts / "lists.py").write_text("STREETS = ()\n")
    third = snapshot_of(instance)
    assert third.sha256 != first.sha256
    instance.settings.write_text('{ "max": 1 }')
    assert snapshot_of(instance).sha256 == third.sha256  # a bad file changes nothing
    instance.settings.write_text('{ "tries": [0, 5] }')
    assert snapshot_of(instance).sha256 != third.sha256


def test_only_scripts_and_libraries_are_read(instance: Instance) -> None:
    for name in ("_old.py", "test_alarm.py", "notes.txt", "types.pyi", "library.py"):
        (instance.user_scripts / name).write_text("\ufeffx = 'ä'\n", encoding="utf-8")
    (instance.user_scripts / "tables").mkdir()
    scripts = snapshot_of(instance).scripts
    assert sorted(scripts) == ["library.py", "onEMail.py"]
    assert scripts["library.py"].text == "x = 'ä'\n"


def test_unreadable_scripts_are_findings(instance: Instance) -> None:
    (instance.user_scripts / "latin.py").write_bytes("# eins\n# Führung\n".encode("latin-1"))
    (instance.user_scripts / "large.py").write_bytes(b"#" * 1_000_001)
    (instance.user_scripts / "folder.py").mkdir()
    snapshot = snapshot_of(instance)
    assert [str(finding) for finding in snapshot.errors] == [
        "user_scripts/folder.py: cannot be read: Is a directory",
        "user_scripts/large.py: is larger than 1000000 bytes",
        "user_scripts/latin.py: line 2 is not UTF-8 text; save the file as UTF-8",
    ]
    assert list(snapshot.scripts) == ["onEMail.py"]


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    snapshot = load_snapshot(Instance(tmp_path))
    assert [str(finding) for finding in snapshot.errors] == [
        "accounts: the folder cannot be read: No such file or directory"
    ]


def test_the_repository_itself_is_a_clean_instance() -> None:
    instance = Instance(ROOT)
    snapshot: Snapshot = load_snapshot(instance)
    assert not [finding for finding in snapshot.findings if finding.file == "accounts/example.json"]
    compile(snapshot.scripts["onEMail.py"].text, "onEMail.py", "exec")
