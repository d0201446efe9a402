"""Accounts and settings: defaults, shapes, and that whatever stands in a file becomes findings."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from revscript.config import (
    Account,
    Canary,
    Imap,
    Keyword,
    Mailbox,
    NoAuthentication,
    Secrets,
    Settings,
    Smtp,
    load_account,
    load_settings,
    read_account,
    read_accounts,
    read_settings,
)
from revscript.config.base import Model
from revscript.config.findings import models_of
from revscript.errors import ConfigError
from tests.config.instances import ENVIRON, ROOT


def models(root: type[Model]) -> Iterator[type[Model]]:
    """Every model that a file can hold."""
    yield root
    for field in root.model_fields.values():
        for model in models_of(field.annotation):
            yield from models(model)


EVERY = sorted({*models(Account), *models(Settings)}, key=lambda model: model.__name__)


@pytest.mark.parametrize("model", EVERY)
def test_every_setting_says_what_it_is(model: type[Model]) -> None:
    for name, field in model.model_fields.items():
        assert (field.description or "").endswith("."), f"{model.__name__}.{name}"


def test_defaults() -> None:
    account = Account.model_validate(
        {"address": "einsatz@fuest.example", "receiving": {"protocol": "imap", "host": "Mail.Fuest.example."}}
    )
    assert account.enabled
    assert account.max_age == 30
    assert account.receiving == Imap(host="Mail.Fuest.example.", port=993, interval=1, after="seen", push=True)
    assert account.mailboxes() == (Mailbox("imap", "mail.fuest.example", "", "INBOX"),)
    assert account.methods.names() == ()
    assert Smtp(host="smtp.fuest.example").port == 587
    instance = Settings()
    assert (instance.tries, instance.time_zone, instance.jail.memory) == ((0, 1, 10), "Europe/Berlin", 256)
    assert instance.outbox.retry == (5, 30, 120, 600, 1800)


def test_frozen() -> None:
    with pytest.raises(ValidationError):
        Settings().reading_limit = 5  # pyright: ignore[reportAttributeAccessIssue]


EVERYTHING: dict[str, Any] = {
    "address": "einsatz@fuest.example",
    "authentication": {"method": "password", "username": "einsatz", "password": "secret:good"},
    "receiving": {
        "protocol": "imap",
        "host": "imap.fuest.example",
        "interval": 0.25,
        "after": {"keyword": "$Erledigt"},
        "folders": ["Alarme", "INBOX"],
        "push": True,
        "include_read": True,
        "first_contact": "new",
    },
    "sending": {"protocol": "smtp", "host": "::1", "authentication": {"method": "none"}},
    "methods": {
        "script": {"file": "alarm.py"},
        "document": {},
        "centre": True,
        "mission_folder": {"inline": True},
    },
    "ignore_server_certificate": True,
    "allowed_senders": ["@leitstelle.example", "wetter@dwd.example"],
    "skip": ["bounce", "auto_reply"],
    "expect_every": 90,
    "canary": {"every": 10},
}


def test_everything_at_once(tmp_path: Path) -> None:
    path = tmp_path / "accounts" / "post.json"
    path.parent.mkdir()
    path.write_text("\ufeff" + json.dumps(EVERYTHING))
    account = load_account(path, Secrets(tmp_path, ENVIRON))
    assert account.name == "post"
    assert account.methods.names() == ("script", "document", "centre", "mission_folder")
    assert account.methods.script
    assert account.methods.script.file == "alarm.py"
    assert account.methods.mission_folder
    assert account.methods.mission_folder.inline
    assert isinstance(account.receiving, Imap)
    assert account.receiving.after == Keyword(keyword="$Erledigt")
    assert [mailbox.folder for mailbox in account.mailboxes()] == ["Alarme", "INBOX"]
    assert account.canary == Canary(every=10, within=5)
    assert account.sending_login() == NoAuthentication()
    assert [(place, secret.reveal()) for place, secret in account.secrets()] == [
        ("authentication.password", "correct-horse")
    ]


def test_one_error_lists_everything(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    assert load_settings(path) == Settings()
    path.write_text('{ "tries": [10, 1], "hard_cap": "200" }')
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    assert str(caught.value) == (
        "settings.json: tries: must be ascending\n"
        'settings.json: hard_cap: must be a whole number without quotes, not "200"'
    )


def test_a_bad_file_concerns_only_its_account(tmp_path: Path) -> None:
    folder = tmp_path / "accounts"
    folder.mkdir()
    (folder / "bad.json").write_text("{")
    (folder / "good.json").write_text('{ "address": "einsatz@fuest.example" }')
    for ignored in (".schema.json", "_draft.json", "notes.txt", "good.json~"):
        (folder / ignored).write_text("{")
    accounts, findings = read_accounts(folder)
    assert list(accounts) == ["good"]
    assert {finding.file for finding in findings if finding.severity == "error"} == {"accounts/bad.json"}


def test_no_accounts_folder_is_an_error(tmp_path: Path) -> None:
    accounts, findings = read_accounts(tmp_path / "accounts")
    assert not accounts
    assert str(findings[0]) == "accounts: the folder cannot be read: No such file or directory"


def test_the_example_is_disabled_complete_and_without_findings() -> None:
    path = ROOT / "accounts" / "example.json"
    account, findings = read_account(path, Secrets(Path("nowhere"), {}))
    assert findings == []
    assert account
    assert not account.enabled
    data = json.loads(path.read_text())
    for model, part in ((Account, data), (Imap, data["receiving"]), (Smtp, data["sending"])):
        assert set(part) == {field.alias or name for name, field in model.model_fields.items()}
    assert set(data["methods"]) == {"script", "document", "centre", "mission_folder"}


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://alerts.example/a?b=c", True),
        ("https://mue:geheim@alerts.example:8443/", True),
        ("http://localhost:8080/x", True),
        ("http://127.0.0.1", True),
        ("http://[::1]:80/", True),
        ("http://alerts.example/", False),
        ("http://localhost.evil.example/", False),
        ("http://127.0.0.1.evil.example/", False),
        ("http://localhost@evil.example/", False),
        ("ftp://alerts.example", False),
        ("https://", False),
        ("https:///path", False),
        ("https://alerts.example:port/", False),
        ("https://alerts.example/a b", False),
        ("https://alerts.example/\n", False),
        ("alerts.example", False),
        ("https://[::1", False),
        ("", False),
    ],
)
def test_urls(url: str, good: bool) -> None:
    data = json.dumps({"heartbeat": {"url": url}})
    if not good:
        with pytest.raises(ValidationError):
            Settings.model_validate_json(data, strict=True)
        return
    settings = Settings.model_validate_json(data, strict=True)
    assert settings.heartbeat
    assert settings.heartbeat.url == url
    assert "geheim" not in repr(settings)


KEYS = sorted({field.alias or name for model in EVERY for name, field in model.model_fields.items()})
WORDS = [
    "none",
    "password",
    "oauth2",
    "imap",
    "pop3",
    "smtp",
    "seen",
    "move",
    "keyword",
    "secret:x",
    "a@b.example",
    "",
]


def anything(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(leaves, max_size=3) | st.dictionaries(st.sampled_from([*KEYS, "x"]), leaves, max_size=8)


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(WORDS),
    anything,
    max_leaves=20,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=8))
def test_whatever_stands_in_a_file_becomes_findings(data: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text(json.dumps(data))
    for found, findings in (read_account(path, Secrets(tmp_path, {})), read_settings(path)):
        assert (found is None) == any(finding.severity == "error" for finding in findings)
        for finding in findings:
            assert typing.cast("object", finding.text)
            assert "Input should" not in finding.text, finding
