"""`revscript run`: starts once, stops at once, and says why it does not start."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from revscript import __version__
from tests.cli.command import COMMAND, environment, no_traceback, revscript
from tests.instance import make_instance, wait_until

# Nobody listens on the discard port: the watcher is always in a pause or on its way into one.
UNREACHABLE = {
    "address": "einsatz@fuest.example",
    "receiving": {"protocol": "imap", "host": "127.0.0.1", "port": 9, "insecure": True},
    "authentication": {"method": "password", "username": "einsatz", "password": "x"},
    "methods": {"document": True},
}


@contextmanager
def host(root: Path) -> Generator[subprocess.Popen[bytes]]:
    """A running host with its log in `log`; ended at the end, whatever happened."""
    with (root / "log").open("wb") as log:
        process = subprocess.Popen([*COMMAND, "run"], cwd=root, env=environment(), stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def events(root: Path) -> list[str]:
    """The events in the host's log, each a JSON object."""
    return [json.loads(line)["event"] for line in (root / "log").read_text().splitlines()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_and_stop(number: signal.Signals, tmp_path: Path) -> None:
    make_instance(tmp_path, {"post": UNREACHABLE, "broken": {"address": 1}})
    with host(tmp_path) as process:
        wait_until(lambda: "mailbox failed" in events(tmp_path), 20, "the watcher tries")
        if number == signal.SIGTERM:
            second = revscript("run", cwd=tmp_path)
            assert second.code == 2
            assert no_traceback(second)
            assert f"a host runs here already (process {process.pid})" in second.err
            host_row, *rows = revscript("status", "--json", cwd=tmp_path).rows
            assert (host_row["running"], host_row["pid"], host_row["version"]) == (True, process.pid, __version__)
            assert datetime.fromisoformat(host_row["since"]).tzinfo
            [account] = [row for row in rows if row["type"] == "account"]
            assert account["error"]
            assert account["last_ok"] is None
            problems = {row["key"] for row in rows if row["type"] == "problem"}
            assert "mailbox:post" in problems
            assert any(key.startswith("file:accounts/broken.json") for key in problems)
        started = time.monotonic()
        process.send_signal(number)
        assert process.wait(10) == 0
        assert time.monotonic() - started < 5
    assert events(tmp_path)[-1] == "stopped"


def test_does_not_start_with_wrong_settings(tmp_path: Path) -> None:
    make_instance(tmp_path, {}, settings={"tries": [3, 1], "hard_cap": 0})
    done = revscript("run", cwd=tmp_path)
    assert done.code == 2
    assert done.err.splitlines() == [
        "error: settings.json: tries: must be ascending",
        "error: settings.json: hard_cap: must be at least 1, not 0",
    ]
    assert not (tmp_path / "data").exists()


def test_help_and_version(tmp_path: Path) -> None:
    done = revscript("--help", cwd=tmp_path)
    assert done.code == 0
    for command in ("run", "check", "read", "try", "show", "status"):
        assert f"\n  {command} " in done.out
    assert revscript("--version", cwd=tmp_path).out.startswith("revscript ")
