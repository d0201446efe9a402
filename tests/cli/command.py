"""Run `revscript` as its users do: a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-m", "revscript"]


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The JSON objects, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]


# They change what the command does, or make each start slow.
_NOT_OURS = ("REVSCRIPT_HOME", "COLUMNS", "PYTHONDONTWRITEBYTECODE", "REVSCRIPT_GOLDEN")


def environment() -> dict[str, str]:
    """This process's environment without what would disturb the command."""
    return {name: value for name, value in os.environ.items() if name not in _NOT_OURS}


def revscript(*arguments: str | Path, cwd: Path, **more: str) -> Done:
    """Run a command in a folder; `more` is set in its environment."""
    return _run([*COMMAND, *map(str, arguments)], cwd, more)


def bound_by_modes(*arguments: str | Path, cwd: Path) -> Done:
    """Run a command for which files' modes count, even when root runs the tests."""
    lose = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    return _run([*lose, *COMMAND, *map(str, arguments)], cwd, {})


def _run(command: list[str], cwd: Path, more: dict[str, str]) -> Done:
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment() | more,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def no_traceback(done: Done) -> bool:
    """Whether an error was said as people want to read it."""
    return "Traceback" not in done.err and done.err.startswith("error: ")
