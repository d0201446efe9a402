"""Settings by environment: what counts more, what is text, and that a wrong variable costs nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from revscript.config import AlertMail, Settings, load_settings, read_settings
from revscript.config.environment import variable_of
from revscript.errors import ConfigError


def settings(tmp_path: Path, content: dict[str, Any], **environ: str) -> Settings:
    """The settings of a file and variables (without REVSCRIPT_) in which nothing is wrong."""
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(content))
    path.chmod(0o600)
    found, findings = read_settings(path, {f"REVSCRIPT_{name}": value for name, value in environ.items()})
    assert findings == []
    assert found
    return found


def test_the_environment_counts_more_than_the_file(tmp_path: Path) -> None:
    content = {"web": {"port": 9000, "enabled": False}, "time_zone": "UTC"}
    found = settings(tmp_path, content, WEB__PORT="9001", TRIES="[0, 5]", RETENTION__RAW_MAIL="30.5")
    assert (found.web.port, found.web.enabled, found.time_zone) == (9001, False, "UTC")
    assert (found.tries, found.retention.raw_mail) == ((0, 5), 30.5)


def test_without_a_file(tmp_path: Path) -> None:
    found, findings = read_settings(tmp_path / "settings.json", {"REVSCRIPT_WEB__PORT": "9001"})
    assert (found, findings) == (Settings.model_validate({"web": {"port": 9001}}), [])


def test_text_is_taken_as_it_is(tmp_path: Path) -> None:
    found = settings(tmp_path, {}, ORGANISATION__NAME='112 "Süd"', DEFAULT_SENDER="007", WEB__HOST="0.0.0.0")
    assert (found.organisation.name, found.default_sender, found.web.host) == ('112 "Süd"', "007", "0.0.0.0")


def test_whole_objects_and_their_parts(tmp_path: Path) -> None:
    found = settings(tmp_path, {}, ALERTS__MAIL='{"account": "post", "to": ["mue@fuest.example"]}', ALERTS__AFTER="1")
    assert found.alerts.mail == AlertMail(account="post", to=("mue@fuest.example",))
    assert found.alerts.after == 1
    found = settings(tmp_path, {}, ALERTS__MAIL__ACCOUNT="post", ALERTS__MAIL__TO='["mue@fuest.example"]')
    assert found.alerts.mail == AlertMail(account="post", to=("mue@fuest.example",))
    found = settings(tmp_path, {"heartbeat": {"url": "https://ping.example"}}, HEARTBEAT__EVERY="1")
    assert found.heartbeat
    assert (found.heartbeat.url, found.heartbeat.every) == ("https://ping.example", 1)
    assert settings(tmp_path, {"heartbeat": {"url": "https://ping.example"}}, HEARTBEAT="null").heartbeat is None


def test_empty_and_other_variables_are_no_settings(tmp_path: Path) -> None:
    assert settings(tmp_path, {}, HOME="/srv/revscript", SECRET_POST="hunter2", WEB__PORT="") == Settings()


def test_a_wrong_variable_costs_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text('{ "web": { "port": 9000 }, "time_zone": "UTC" }')
    environ = {"REVSCRIPT_WEB__PORT": "70000", "REVSCRIPT_WEB__HOST": "::1", "REVSCRIPT_TRIES": "[", "REVSCRIPT_X": "1"}
    found, findings = read_settings(path, environ)
    assert found
    assert (found.web.port, found.web.host, found.time_zone, found.tries) == (9000, "::1", "UTC", (0, 1, 10))
    assert [(one.file, one.place, one.severity) for one in findings] == [
        ("environment", name, "error") for name in ("REVSCRIPT_TRIES", "REVSCRIPT_WEB__PORT", "REVSCRIPT_X")
    ]
    with pytest.raises(ConfigError, match="REVSCRIPT_WEB__PORT: must be at most 65535, not 70000"):
        load_settings(path, environ)


def test_a_wrong_file_stays_wrong(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    for text in ('{ "web": { "port": 0 } }', "{", "[]"):
        path.write_text(text)
        found, findings = read_settings(path, {"REVSCRIPT_WEB__PORT": "9001"})
        assert found is None
        assert {one.file for one in findings} == {"settings.json"}


def test_this_process_s_environment_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable_of(["web", "port"]), "9002")
    found, _ = read_settings(tmp_path / "settings.json")
    assert found
    assert found.web.port == 9002


@pytest.mark.parametrize("value", ["[" * 100_000, "NaN", "1e999", "\ud800", "9" * 5000])
def test_whatever_stands_in_a_variable_becomes_a_finding(value: str, tmp_path: Path) -> None:
    for name in ("REVSCRIPT_TRIES", "REVSCRIPT_WEB", "REVSCRIPT_WEB__PORT"):
        found, findings = read_settings(tmp_path / "settings.json", {name: value})
        assert found == Settings()
        assert [one.place for one in findings] == [name]
