"""`revscript demo` as its users start it."""

from __future__ import annotations

import os
import re
import signal
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from revscript.cli import demo as command
from revscript.demo import checks
from revscript.demo.instance import ADDRESSES
from revscript.demo.post import MAILS
from revscript.demo.story import SCENES, Scene
from revscript.errors import ConfigError

DEMO = [sys.executable, "-m", "revscript", "demo"]
SUBJECTS = (
    "Einsatz E 26 004711: B 3, Hafenstraße 12 a",
    "[ALARM] B 3",
    "Folgealarm E 26 004711: B 4, Hafenstraße 12 a",
    "Lageskizze und Materialliste",
    "Probealarm P 26 000042",
    "Sandsäcke stehen bereit",
    "Löschwasser Hafenstraße",
    "Einsatz E 26 999999: dringend",
    "Unwetterwarnung Stufe 3: Orkanböen im Kreis Musterland",
    "Einsatz E 26 004711: B 2, Hafenstraße 12 a",
    "Aufhebung der Warnung vor Orkanböen",
    "Automatische Antwort: Eingang bestätigt",
)


@contextmanager
def running(*options: str, folder: Path) -> Generator[subprocess.Popen[str]]:
    """The demo as a process of its own, in a terminal's process group; its temporary files in the folder."""
    env = {name: value for name, value in os.environ.items() if name != "COLUMNS"} | {"TMPDIR": str(folder)}
    process = subprocess.Popen(
        [*DEMO, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        env=env | {"PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], pattern: str, lines: list[str]) -> re.Match[str]:
    """Read the output up to the line with the pattern; all lines go into the list."""
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if found := re.search(pattern, line):
            return found
    raise AssertionError(f"the demo ended before {pattern!r}:\n{''.join(lines)}")


def interrupt(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Ctrl-C, which the whole process group gets → exit code and the rest of the output."""
    os.killpg(process.pid, signal.SIGINT)
    rest, _ = process.communicate(timeout=10)
    return process.returncode, rest


def test_once_shows_all_mails_and_ends_well(tmp_path: Path) -> None:
    started = time.monotonic()
    with running("--once", folder=tmp_path) as process:
        output, _ = process.communicate(timeout=40)
    assert process.returncode == 0, output
    assert time.monotonic() - started < 40
    told, table = output.split(" mail  account", 1)
    for number, (subject, scene) in enumerate(zip(SUBJECTS, SCENES, strict=True), start=1):
        assert f"mail {number:<3} from " in told
        assert f'"{subject}"' in told
        assert f"✓ mail {number}: {scene.title}" in table
        assert subject in table
    assert "Tries shortened by settings.json: at 0, 1.2, 3 s" in told
    assert "✗" not in output
    assert "Traceback" not in output
    assert list(tmp_path.iterdir()) == []


def test_a_mail_sent_to_the_running_demo_is_processed(tmp_path: Path) -> None:
    lines: list[str] = []
    with running(folder=tmp_path) as process:
        port = int(read_until(process, r"SMTP 127\.0\.0\.1:(\d+)", lines)[1])
        read_until(process, "keeps running until Ctrl-C", lines)
        mail = EmailMessage()
        mail["From"], mail["To"] = "ich@firma.example", ADDRESSES["stab"]
        mail["Subject"] = "Eigene Meldung"
        mail.set_content("Einsatznummer: E 26 004711\nAlles ruhig.\n")
        with smtplib.SMTP("127.0.0.1", port) as client:
            client.send_message(mail)
            with pytest.raises(smtplib.SMTPRecipientsRefused):
                client.sendmail("ich@firma.example", "jemand@anderswo.example", "Subject: no relay\n\n")
        read_until(process, 'mail 13 .*from ich@firma.example: "Eigene Meldung"', lines)
        read_until(process, "mail 13 .*settled: moved to", lines)
        code, rest = interrupt(process)
    assert code == 0, rest
    assert "Traceback" not in rest
    assert list(tmp_path.iterdir()) == []


def test_the_example_that_it_prints_works(tmp_path: Path) -> None:
    lines: list[str] = []
    with running(folder=tmp_path) as process:
        example = read_until(process, r"^ *(python3 -c .*)$", lines)[1]
        subprocess.run(example.replace("python3", sys.executable, 1), shell=True, check=True)
        read_until(process, "has left by smtp:stab to 1 recipient", lines)
        assert interrupt(process)[0] == 0


def test_ctrl_c_in_the_middle_ends_cleanly(tmp_path: Path) -> None:
    lines: list[str] = []
    with running(folder=tmp_path) as process:
        read_until(process, "mail 1 .*received by", lines)
        code, rest = interrupt(process)
    assert code == 0, rest
    assert "stopped before the end" in rest
    assert "Traceback" not in rest
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_kept_must_be_new(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    done = subprocess.run([*DEMO, "--keep", str(tmp_path)], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 2
    assert "the folder is not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_port_that_is_taken_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command_line = [*DEMO, "--smtp-port", str(taken.getsockname()[1])]
        done = subprocess.run(command_line, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 1
    assert "mail server cannot be started" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_extra_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "missing", lambda: ["pymap"])
    with pytest.raises(ConfigError, match="needs pymap") as caught:
        command.demo()
    assert caught.value.hint.endswith("pip install 'revscript[demo]'")


def test_every_mail_of_the_story_is_there_and_no_other() -> None:
    assert [path.name for path in sorted(MAILS.iterdir())] == [scene.file for scene in SCENES]


def test_a_check_says_what_differs() -> None:
    task: dict[str, Any] = {"method": "script", "exit": "done", "attempts": 1, "state": "done"}
    mail = {"tasks": [task], "settled_by": "seen", "applied": [{"words": "label 'x'"}]}
    scene = Scene(title="", file="", account="", exits={"script": "done"}, effects=("label 'x'",), settled="seen")
    assert list(checks.differences(scene, mail)) == []
    task |= {"exit": "failed", "attempts": 3, "state": "quarantined"}
    wrong = "; ".join(checks.differences(scene, mail | {"settled_by": None, "applied": []}))
    for part in ("exits are", "tried 3 times", "quarantined", "settled as None", "missing: label 'x'"):
        assert part in wrong
