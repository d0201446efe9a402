"""`revscript account new`: by options, at a terminal, and what it refuses."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import COMMAND, environment, no_traceback, revscript
from tests.instance import make_instance

SCRIPT = {"onEMail.py": "def onEMail(mail):\n    pass\n"}
PASSWORD = "hunter2 mit Blank"
OPTIONS = ["--address", "einsatz@fuest.example", "--host", "imap.fuest.example", "--no-send"]


def new(root: Path, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command without a terminal."""
    return subprocess.run(
        [*COMMAND, "account", "new", *arguments],
        cwd=root,
        env=environment(),
        input=given,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def at_a_terminal(root: Path, *arguments: str, answers: Sequence[str]) -> tuple[int, str]:
    """Run the command at a terminal, answer each of its questions, and return what stood on the screen."""
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover
        os.chdir(root)
        os.execve(COMMAND[0], [*COMMAND, "account", "new", *arguments], environment() | {"TERM": "dumb"})
    screen, left, seen = b"", list(answers), 0
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # how Linux says that the other end is closed
            break
        if not piece:
            break
        screen += piece
        if left and screen[seen:].endswith(b": "):  # with the blank: before it, a hidden answer would be thrown away
            seen = len(screen)
            os.write(terminal, left.pop(0).encode() + b"\n")
    os.close(terminal)
    assert not left, f"questions were missing: {left}; {screen.decode()}"
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), screen.decode().replace("\r\n", "\n")


def account(root: Path, name: str = "post") -> dict[str, Any]:
    return json.loads((root / "accounts" / f"{name}.json").read_text())


def files(root: Path) -> set[str]:
    """What lies in an instance; the settings are there from the start."""
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()} - {"settings.json"}


def test_by_options(tmp_path: Path) -> None:
    make_instance(tmp_path, {}, SCRIPT)
    done = new(tmp_path, "post", *OPTIONS, "--password-stdin", "--methods", "script, document", given=PASSWORD + "\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert account(tmp_path) == {
        "$schema": "./.schema.json",
        "address": "einsatz@fuest.example",
        "enabled": True,
        "authentication": {"method": "password", "username": "einsatz@fuest.example", "password": "secret:post"},
        "receiving": {"protocol": "imap", "host": "imap.fuest.example", "port": 993},
        "methods": {"script": {"file": "onEMail.py"}, "document": True},
    }
    secret = tmp_path / "secrets" / "post"
    assert secret.read_text() == PASSWORD + "\n"
    assert (secret.stat().st_mode & 0o777, secret.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert files(tmp_path) == {
        "accounts/post.json",
        "accounts/.schema.json",
        ".schema.json",
        "secrets/post",
        "user_scripts/onEMail.py",
    }
    assert "Next: `revscript check`" in done.stdout
    assert "hunter2" not in done.stdout
    assert revscript("check", cwd=tmp_path).out == "1 account, 1 script: fine\n"


def test_at_a_terminal_wrong_answers_are_asked_again(tmp_path: Path) -> None:
    make_instance(tmp_path, {}, SCRIPT)
    answers = [
        "einsatz",
        "einsatz@fuest.example",
        "y",
        "imap.fuest.example:993",
        "",  # what is offered
        "993x",
        "1143",
        "y",
        "smtp.fuest.example",
        "",
        "skript",
        "script,centre",
        "",
        "mue",
        PASSWORD,
    ]
    code, screen = at_a_terminal(tmp_path, "post", answers=answers)
    assert code == 0, screen
    assert 'E-mail address must be a mail address like "einsatz@fuest.example", not "einsatz"' in screen
    assert "IMAP server must be the host name alone; the port is a setting of its own" in screen
    assert 'IMAP port must be a whole number, not "993x"' in screen
    assert "must be some of script, document, centre, mission_folder, not skript" in screen
    assert PASSWORD not in screen
    made = account(tmp_path)
    assert made["receiving"] == {"protocol": "imap", "host": "imap.fuest.example", "port": 1143}
    assert made["sending"] == {"protocol": "smtp", "host": "smtp.fuest.example", "port": 587}
    assert made["methods"] == {"script": {"file": "onEMail.py"}, "centre": True}
    assert made["authentication"]["username"] == "mue"
    assert (tmp_path / "secrets" / "post").read_text() == PASSWORD + "\n"


def test_given_up_at_the_terminal_nothing_is_written(tmp_path: Path) -> None:
    make_instance(tmp_path, {}, SCRIPT)
    code, screen = at_a_terminal(tmp_path, "post", *OPTIONS, answers=["script", "", "", "\x03"])
    assert code == 1, screen
    assert "Traceback" not in screen
    assert files(tmp_path) == {"user_scripts/onEMail.py"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--address is missing, and there is no terminal to ask"),
        (["--address", "einsatz@fuest.example"], "--host is missing"),
        ([*OPTIONS], "There is no password, and no terminal to ask."),
        ([*OPTIONS, "--password-stdin"], "The password is empty."),
        ([*OPTIONS, "--port", "0"], "--port: must be at least 1, not 0."),
        ([*OPTIONS, "--methods", "scripts"], "--methods: must be some of script, document, centre, mission_folder"),
        ([*OPTIONS, "--script", "../x.py"], "--script: must be the name of a file in user_scripts"),
    ],
)
def test_refused(arguments: list[str], said: str, tmp_path: Path) -> None:
    make_instance(tmp_path, {}, SCRIPT)
    done = new(tmp_path, "post", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {said}")
    assert "Traceback" not in done.stderr
    assert files(tmp_path) == {"user_scripts/onEMail.py"}


@pytest.mark.parametrize("name", ["mein konto", "../post", ".post", "_post", ""])
def test_names(name: str, tmp_path: Path) -> None:
    make_instance(tmp_path, {})
    done = new(tmp_path, name, *OPTIONS, "--password-stdin", given=PASSWORD)
    assert done.returncode == 2
    assert "cannot be an account's name" in done.stderr
    assert files(tmp_path) == set()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    make_instance(tmp_path, {"post": {"address": "alt@fuest.example"}}, SCRIPT)
    done = revscript("account", "new", "post", *OPTIONS, cwd=tmp_path)
    assert (done.code, no_traceback(done)) == (2, True)
    assert "accounts/post.json is there already" in done.err
    secret = tmp_path / "secrets" / "neu"
    secret.parent.mkdir()
    secret.write_text("old")
    secret.chmod(0o600)
    assert new(tmp_path, "neu", *OPTIONS, "--password-stdin", given=PASSWORD).returncode == 2
    assert not (tmp_path / "accounts" / "neu.json").exists()
    done = revscript("account", "new", "neu", *OPTIONS, cwd=tmp_path)
    assert done.code == 0
    assert "secrets/neu is there already and is used." in done.out
    assert secret.read_text() == "old"
    assert account(tmp_path) == {"address": "alt@fuest.example"}


def test_what_check_would_say_is_said(tmp_path: Path) -> None:
    make_instance(tmp_path, {})
    secret = tmp_path / "secrets" / "post"
    secret.parent.mkdir()
    secret.write_text("x")
    secret.chmod(0o644)
    done = revscript("account", "new", "post", *OPTIONS, cwd=tmp_path)
    assert done.code == 1
    assert "error: accounts/post.json: authentication.password: secrets/post can be read by others" in done.out
    assert "Next: mend what is said above" in done.out


def test_a_password_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    make_instance(tmp_path, {}, SCRIPT)
    done = subprocess.run(
        [*COMMAND, "account", "new", "post", *OPTIONS, "--password-stdin"],
        cwd=tmp_path,
        env=environment() | {"LC_ALL": "C"},
        input="grün\n".encode("latin-1"),
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: The password on standard input is not UTF-8.\n")
    assert files(tmp_path) == {"user_scripts/onEMail.py"}
    assert new(tmp_path, "post", *OPTIONS, "--password-stdin", given="grün\n").returncode == 0
    assert (tmp_path / "secrets" / "post").read_bytes() == "grün\n".encode()
