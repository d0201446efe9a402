"""Secrets are found in three places and never shown."""

from __future__ import annotations

import copy
import json
import logging
import pickle
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from revscript.config import Account, PasswordAuthentication, Secret, Secrets, read_account
from revscript.errors import ConfigError

VALUE = "hunter2-geheim"


def write(path: Path, text: str, mode: int = 0o600) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def test_places_in_order(tmp_path: Path) -> None:
    environ: dict[str, str] = {}
    secrets = Secrets(tmp_path / "secrets", environ)
    write(tmp_path / "secrets" / "m365-post", "from file\n")
    assert Secret("secret:m365-post", secrets).reveal() == "from file"
    environ["REVSCRIPT_SECRET_M365_POST"] = "from environment"
    assert Secret("secret:m365-post", secrets).reveal() == "from environment"
    environ["CREDENTIALS_DIRECTORY"] = str(tmp_path / "credentials")
    assert Secret("secret:m365-post", secrets).reveal() == "from environment"
    write(tmp_path / "credentials" / "m365-post", "from systemd", 0o440)
    assert Secret("secret:m365-post", secrets).reveal() == "from systemd"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    write(tmp_path / "secrets" / "post", VALUE, mode)
    secret = Secret("secret:post", Secrets(tmp_path / "secrets", {}))
    assert secret.problem == "secrets/post can be read by others: chmod 600 secrets/post"
    with pytest.raises(ConfigError, match="chmod 600"):
        secret.reveal()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("\n", 'the secret "post" is empty'),
        ("x" * 70_000, "secrets/post is larger than 65536 bytes"),
        ("\udcff", "secrets/post is not UTF-8 text"),
    ],
)
def test_unusable_files(tmp_path: Path, content: str, problem: str) -> None:
    write(tmp_path / "secrets" / "post", "")
    (tmp_path / "secrets" / "post").write_bytes(content.encode(errors="surrogateescape"))
    assert Secret("secret:post", Secrets(tmp_path / "secrets", {})).problem == problem


def test_blanks_belong_to_the_secret(tmp_path: Path) -> None:
    write(tmp_path / "secrets" / "post", " a b \r\n")
    assert Secret("secret:post", Secrets(tmp_path / "secrets", {})).reveal() == " a b "


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b", "ä!", "x" * 101])
def test_names_are_harmless(name: str) -> None:
    with pytest.raises(ValueError, match="a reference must be") as caught:
        Secret(f"secret:{name}")
    assert name == "" or name not in str(caught.value)


def test_never_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    environ = {"REVSCRIPT_SECRET_POST": VALUE}
    for secret in (Secret(VALUE), Secret("secret:post", Secrets(tmp_path, environ))):
        login = PasswordAuthentication(username="einsatz", password=secret)
        account = Account(address="einsatz@fuest.example", authentication=login)
        logging.getLogger("test").warning("%s %r %s", secret, secret, account)
        shown = [repr(secret), str(secret), f"{secret:}", f"{account!r} {login}", caplog.text]
        shown += [
            repr(account.model_dump()),
            repr(account.model_dump(mode="json")),
            account.model_dump_json(),
        ]
        shown += [repr(copy.deepcopy(account)), repr(Secrets(tmp_path, environ)), str(vars(login))]
        assert VALUE not in " ".join(shown)
        assert secret.reveal() == VALUE
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(account)


def test_equal_means_same_value() -> None:
    assert Secret(VALUE) == Secret(VALUE)
    assert Secret(VALUE) != Secret("other")
    assert Secret("secret:a") != Secret("secret:b")
    assert len({Secret(VALUE), Secret(VALUE)}) == 1


@pytest.mark.parametrize(
    "authentication",
    [
        VALUE,
        [VALUE],
        {VALUE: VALUE},
        {"method": "password", "password": VALUE},
        {"method": "password", "username": [VALUE], "password": [VALUE]},
        {"method": "password", "username": "u", "password": {"value": VALUE}},
        {"method": "password", "username": "u", "passwort": VALUE},
        {"method": "none", "password": VALUE},
        {"method": "oauth2", "client_secret": VALUE, "scope": 5},
        {"method": "password", "username": VALUE * 20, "password": f"secret:{VALUE}!"},
    ],
)
def test_no_finding_and_no_error_shows_a_secret(tmp_path: Path, authentication: Any) -> None:
    """The key of a setting is shown, as its place: a password as a key is beyond what we can guess."""
    data = {"address": "einsatz@fuest.example", "authentication": authentication, "password": VALUE}
    path = tmp_path / "accounts" / "post.json"
    write(path, json.dumps(data))
    account, findings = read_account(path)
    assert account is None
    assert findings
    places = {finding.place for finding in findings}
    assert VALUE not in "".join(repr(finding) for finding in findings if VALUE not in finding.place)
    assert "password" in places
    with pytest.raises(ValidationError) as caught:
        Account.model_validate_json(path.read_text(), strict=True)
    assert VALUE not in str(caught.value) or VALUE in "".join(places)
