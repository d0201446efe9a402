"""Short ways to a run in the jail."""

from __future__ import annotations

import dataclasses
import os
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from revscript.jail.confine import Limits
from revscript.jail.reading.model import Reading
from revscript.jail.wire import RunContext
from revscript.sandbox import Sandbox, ScriptRun
from revscript.snapshot import Script

ROOMY = Limits(cpu=10, memory=256 << 20, wall=20_000)
READING = Reading(subject="B 3 Lagerhalle", text="Einsatznummer 990007\n")
CONTEXT = RunContext(
    mail_id=7,
    account="leitstelle",
    received="2026-03-01T12:00:30+00:00",
    now="2026-03-01T12:01:00+00:00",
    max_age=30,
    clock_trusted=True,
    time_zone="Europe/Berlin",
)
MAIL = (
    b"From: Leitstelle <alarm@leitstelle.example>\r\nSubject: B 3\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: multipart/mixed; boundary=x\r\n\r\n"
    b"--x\r\nContent-Type: text/plain\r\n\r\nEinsatznummer 990007\r\n"
    b"--x\r\nContent-Type: application/pdf; name=fax.pdf\r\nContent-Disposition: attachment; filename=fax.pdf\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\nJVBERi0xLjQK\r\n"
    b"--x\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename=lage.txt\r\n\r\nzwei\r\n"
    b"--x--\r\n"
)


def nothing(_: Any) -> None:
    """Answer every question with: there is none."""


def take_nothing(_index: int, _pieces: object) -> None:
    """Leave what was extracted where it is."""


def run(sandbox: Sandbox, body: str, answer: Callable[[Any], Any] = nothing, **context: Any) -> ScriptRun:
    """Run the body of an `onEMail`; its first line is line 2."""
    source = "def onEMail(mail):\n" + textwrap.indent(textwrap.dedent(body).strip("\n"), "    ") + "\n"
    return run_set(sandbox, source, answer=answer, **context)


def run_set(
    sandbox: Sandbox,
    source: str,
    libraries: dict[str, str] | None = None,
    tables: dict[str, str] | None = None,
    answer: Callable[[Any], Any] = nothing,
    **context: Any,
) -> ScriptRun:
    """Run a whole script with libraries (name → text) and tables (file → text)."""
    script = Script("onEMail.py", source, "0" * 64, libraries or {}, tables or {})
    return sandbox.run_script(script, READING, dataclasses.replace(CONTEXT, **context), answer)


def children(pid: int | None) -> list[int]:
    """The processes that a process has started and not yet reaped."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def descriptors() -> int:
    """How many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that is about to happen."""
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)
