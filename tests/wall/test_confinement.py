"""What a child is, seen from outside while it runs a script; and what the jail loads."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from revscript.jail import confine
from revscript.sandbox import Sandbox
from tests.wall.kit import ROOMY, children, run

FORBIDDEN = re.compile(
    r"(_?ssl|_?sqlite3|sqlalchemy|alembic|pydantic|pydantic_core|requests|urllib3|cryptography|imapclient|structlog"
    r"|typer|rich|subprocess|asyncio|ctypes\.util|http|ftplib|smtplib|imaplib|poplib|socketserver"
    r"|revscript\.(?!jail).*)(\..*)?"
)


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """/proc of a child in the middle of its run."""
    seen: dict[str, str] = {}
    sandbox = Sandbox(ROOMY, children=1)
    sandbox.start()

    def look(_: Any) -> list[Any]:
        (pid,) = children(sandbox.zygote_pid)
        here = Path(f"/proc/{pid}")
        seen["status"], seen["limits"] = (here / "status").read_text(), (here / "limits").read_text()
        seen["descriptors"] = " ".join(sorted(os.listdir(here / "fd")))
        seen["environment"] = (here / "environ").read_text()
        return []

    try:
        assert run(sandbox, "missions.running()", look).end.kind == "done"
    finally:
        sandbox.stop()
    return seen


def status(child: dict[str, str], name: str) -> str:
    found = re.search(rf"^{name}:[ \t]*(.*)$", child["status"], re.MULTILINE)
    assert found is not None
    return found[1]


def limit(child: dict[str, str], name: str) -> tuple[str, str]:
    found = re.search(rf"^{name}\s+(\S+)\s+(\S+)", child["limits"], re.MULTILINE)
    assert found is not None
    return found[1], found[2]


def test_it_holds_its_channel_and_nothing_else(child: dict[str, str]) -> None:
    assert child["descriptors"] == "0 1 2 3"
    assert not [word for word in child["environment"].split("\0") if word and not word.startswith("LC_")]


def test_it_has_no_rights_and_gets_none(child: dict[str, str]) -> None:
    assert status(child, "NoNewPrivs") == "1"
    assert {status(child, name).strip("0") for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {""}
    if os.geteuid() == 0:
        assert set(status(child, "Uid").split()) == set(status(child, "Gid").split()) == {str(confine.UID)}
        assert status(child, "Groups").strip() == ""
        assert status(child, "CapBnd").strip("0") == ""


def test_its_resources_are_limited(child: dict[str, str]) -> None:
    assert limit(child, "Max open files") == ("4", "4")
    for name in ("Max processes", "Max file size", "Max core file size", "Max locked memory"):
        assert limit(child, name) == ("0", "0")
    assert limit(child, "Max cpu time") == (str(ROOMY.cpu), str(ROOMY.cpu + 1))
    soft, hard = (int(number) for number in limit(child, "Max address space"))
    assert hard == soft + confine.REPORT_ROOM
    assert ROOMY.memory < soft < ROOMY.memory + (200 << 20)


def test_the_layers_that_are_claimed() -> None:
    """The tests above are about exactly these; whoever adds a layer adds its test."""
    assert confine.LAYERS == ("rlimits", "no_new_privs", "descriptors", "uid")


def test_the_jail_loads_nothing_of_the_host() -> None:
    code = (
        "import sys; import revscript.jail.__main__ as jail; jail.child.warm_up();"
        "print('\\n'.join(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "revscript.jail.child" in loaded
    assert [name for name in loaded if FORBIDDEN.fullmatch(name)] == []
