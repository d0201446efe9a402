"""The commands where something is odd: names that are not UTF-8, folders without rights, numbers and pipes."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from revscript.host import DATABASE
from revscript.snapshot import Instance
from tests.cli.command import COMMAND, Done, bound_by_modes, environment, no_traceback, revscript
from tests.cli.filled import filled
from tests.cli.test_run import UNREACHABLE
from tests.instance import make_instance, rows, running, wait_until

BROKEN_HOST = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("UPDATE problem SET what = 'in the log'")
os._exit(0)
"""
SCRIPT = "def onEMail(mail):\n    pass\n"


@pytest.fixture
def own(tmp_path: Path) -> Instance:
    """An instance of which mail 1 is done, mail 2 in quarantine, mail 3 waiting."""
    return filled(tmp_path)


# ---------------------------------------------------------------- names


def named(folder: Path, name: bytes, text: str) -> None:
    """Write a file whose name is not UTF-8, as copies from old Windows machines are."""
    folder.mkdir(exist_ok=True)
    with open(os.path.join(os.fsencode(folder), name), "w") as file:
        file.write(text)


def test_names_that_are_not_utf8_concern_only_themselves(tmp_path: Path) -> None:
    instance = make_instance(tmp_path, {"post": UNREACHABLE}, {"onEMail.py": SCRIPT})
    named(instance.accounts, b"b\xfcro.json", "{}")
    named(instance.user_scripts, b"b\xfcro.py", SCRIPT)
    named(instance.tables, b"b\xfc.csv", "a;b\n1;2\n")
    wrong = {f"{name}\\udcfc{rest}" for name, rest in (("accounts/b", "ro.json"), ("user_scripts/b", "ro.py"))}
    wrong.add("user_scripts/tables/b\\udcfc.csv")
    with running(instance) as host:
        wait_until(lambda: rows(instance, "SELECT 1 FROM problem WHERE key = 'mailbox:post'") != [], 20, "it works")
        keys = rows(instance, 'SELECT "where" FROM problem')
        assert wrong <= {where for (where,) in keys}
        assert host.problems.written
    for command in (("status",), ("check",), ("status", "--json"), ("check", "--json")):
        done = revscript(*command, cwd=tmp_path)
        assert done.err == ""
        assert all(
            name.replace("\\", "\\\\") in done.out if "--json" in command else name in done.out for name in wrong
        )


# ---------------------------------------------------------------- rights


@contextmanager
def read_only(instance: Instance) -> Generator[None]:
    for path in instance.data.iterdir():
        path.chmod(0o400)
    instance.data.chmod(0o500)
    try:
        yield
    finally:
        instance.data.chmod(0o700)


READING = [("status",), ("quarantine", "list"), ("quarantine", "show", "2"), ("show", "mails"), ("show", "mails", "2")]


@pytest.mark.parametrize("command", [*READING, ("trace", "2")])
def test_a_data_folder_that_can_only_be_read(own: Instance, command: tuple[str, ...]) -> None:
    usual = revscript(*command, "--json", cwd=own.root)
    for left in own.data.glob("*-*"):
        left.unlink()
    before = {path.name for path in own.data.iterdir()}
    with read_only(own):
        done = bound_by_modes(*command, "--json", cwd=own.root)
        assert {path.name for path in own.data.iterdir()} == before
    assert (done.code, done.err, len(done.rows)) == (0, "", len(usual.rows))
    with read_only(own):
        done = bound_by_modes("quarantine", "rerun", "2", cwd=own.root)
    assert (done.code, no_traceback(done)) == (1, True)
    assert "readonly database" in done.err


@pytest.mark.parametrize("complete", [True, False])
def test_what_a_killed_host_has_left_in_a_folder_that_can_only_be_read(own: Instance, complete: bool) -> None:
    database = own.data / DATABASE
    subprocess.run([sys.executable, "-c", BROKEN_HOST, str(database)], check=True)
    if not complete:
        database.with_name(f"{DATABASE}-shm").unlink()
    with read_only(own):
        done = bound_by_modes("status", cwd=own.root)
        listed = bound_by_modes("quarantine", "list", cwd=own.root)
    assert "no host runs" in done.out
    assert "post" in done.out
    if complete:
        assert (done.code, listed.code) == (0, 0)
        assert "error: jail: in the log" in done.out
    else:
        for one in (done, listed):
            assert (one.code, no_traceback(one)) == (1, True)
            assert "copy the whole data folder to where you may write" in one.err
        assert "not known: see the error below" in done.out


def test_an_older_schema_is_named_and_left_alone(own: Instance) -> None:
    with closing(sqlite3.connect(own.data / DATABASE)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    done = revscript("status", "--json", cwd=own.root)
    assert [row["type"] for row in done.rows] == ["host", "account"]
    assert (done.code, no_traceback(done)) == (1, True)
    assert "schema 0001" in done.err
    assert rows(own, "SELECT version_num FROM alembic_version") == [("0001",)]


def test_a_data_folder_into_which_one_may_not_look(own: Instance) -> None:
    own.data.chmod(0)
    try:
        done = bound_by_modes("status", "--json", cwd=own.root)
        others = [bound_by_modes(*command, cwd=own.root) for command in READING]
    finally:
        own.data.chmod(0o700)
    assert [(row["type"], row.get("running")) for row in done.rows] == [("host", None), ("account", None)]
    for one in (done, *others):
        assert one.code == 2
        assert no_traceback(one)
        assert "Permission denied" in one.err


@pytest.mark.parametrize("folder", ["accounts", "secrets", ""])
def test_folders_into_which_one_may_not_look(folder: str, own: Instance) -> None:
    options = ("--address", "einsatz@fuest.example", "--host", "imap.fuest.example", "--no-send")
    (own.root / folder).chmod(0)
    try:
        commands = [("account", "new", "neu", *options), ("check",), ("status",), ("schema",)]
        for command in commands:
            done = bound_by_modes(*command, "--instance", str(own.root), cwd=Path("/"))
            assert "Traceback" not in done.err, done.err
            assert (done.code, done.err) != (0, "") or command[0] in ("status", "schema"), command
    finally:
        (own.root / folder).chmod(0o700)
    assert not (own.accounts / "neu.json").exists()


# ---------------------------------------------------------------- numbers and streams


@pytest.mark.parametrize(
    "command",
    [
        ("trace",),
        ("show", "mails"),
        ("quarantine", "show"),
        ("quarantine", "rerun"),
        ("quarantine", "discard", "--why", "x"),
        ("show", "forms", "--limit"),
    ],
)
@pytest.mark.parametrize("number", [str(2**63), "9" * 40, "0"])
def test_numbers_that_no_database_has(instance: Instance, command: tuple[str, ...], number: str) -> None:
    done = revscript(*command, number, cwd=instance.root)
    assert (done.code, done.out) == (2, "")
    assert "Traceback" not in done.err
    assert "Input should be " in done.err


def shell(line: str, root: Path) -> Done:
    """A line of shell in which `$R` is revscript."""
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        cwd=root,
        env=environment() | {"R": " ".join(COMMAND)},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    "line",
    [
        "$R show mails --json | true",
        "$R show mails | true",
        "$R quarantine show 2 | true",
        "$R trace 1 | head -1",
        "$R quarantine rerun --all <&-",
        "$R account new neu --password-stdin --address a@fuest.example --host h.example --no-send <&-",
        "$R account new neu --address a@fuest.example --host h.example --no-send <&-",
        "$R status >&-",
        "$R status --json >&-",
        "$R show mails 99 2>&-",
        "mkdir gone; cd gone; rmdir ../gone; $R status",
    ],
)
def test_streams_that_end_and_folders_that_are_gone(own: Instance, line: str) -> None:
    done = shell(line, own.root)
    assert "Traceback" not in done.err, done.err
    assert "Exception ignored" not in done.err, done.err
    assert len(done.err.splitlines()) <= 2
