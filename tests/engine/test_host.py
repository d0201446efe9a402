"""What the host says by itself, before a mail comes."""

from __future__ import annotations

from pathlib import Path

import pytest

from revscript.errors import ConfigError, JailBroken
from revscript.host import Host, locked
from revscript.sandbox import Sandbox
from tests.instance import make_instance, running, wait_until

ACCOUNT = {
    "address": "einsatz@fuest.example",
    "sending": {"protocol": "none"},
    "methods": {"script": {"file": "kaputt.py"}},
}


def test_a_script_that_cannot_run_is_a_problem_at_once(tmp_path: Path) -> None:
    instance = make_instance(tmp_path, {"a": ACCOUNT}, {"kaputt.py": "import os\n\ndef onEMail(mail):\n    pass\n"})
    with running(instance) as host:

        def found() -> list[str]:
            standing = [one.problem for one in host.problems.standing()]
            return [one.what for one in standing if one.where == "user_scripts/kaputt.py"]

        wait_until(lambda: bool(found()), 5, "the problem")
        assert "line 1, column 8: module 'os' is not available" in found()[0]


def test_a_start_that_fails_stops_what_has_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Sandbox) -> None:
        raise JailBroken("no jail here")

    monkeypatch.setattr(Sandbox, "start", broken)
    host = Host(make_instance(tmp_path, {}))
    with pytest.raises(JailBroken, match="no jail here"):
        host.start()


def test_a_second_host_is_refused_and_nobody_else_may_look(tmp_path: Path) -> None:
    instance = make_instance(tmp_path, {})
    instance.data.mkdir(mode=0o755)
    with locked(instance):
        assert instance.data.stat().st_mode & 0o777 == 0o700
        with pytest.raises(ConfigError, match="a host runs here already"), locked(instance):
            pass
    with locked(instance):
        pass
