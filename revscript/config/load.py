"""From files to accounts and settings, with everything that is wrong in them.

A bad file concerns only its own account. `read_…` never raises; `load_…` does the same for one file, and
raises.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import ValidationError

from revscript.config import not_yet
from revscript.config.account import Account, Mailbox
from revscript.config.base import Model
from revscript.config.findings import Finding, explain, raise_errors
from revscript.config.review import review
from revscript.config.secrets import Secrets
from revscript.config.settings import Settings

MAX_FILE = 1_000_000  # bytes: an account has a few kB, a larger file is something else
_NAME = re.compile(r"\w[\w.-]{0,99}")  # an account's name stands in addresses, logs and commands

_M = TypeVar("_M", bound=Model)


class _Bad(Exception):
    """A file that cannot be read at all: place and text for the one finding."""

    def __init__(self, place: str, text: str) -> None:
        super().__init__(text)
        self.place = place
        self.text = text


def read_accounts(folder: Path, secrets: Secrets | None = None) -> tuple[dict[str, Account], list[Finding]]:
    """Read every account of the folder: the good ones by name, and all findings in the files' order.

    `secrets` defaults to the folder `secrets` beside it. Files that begin with "." or "_" are not accounts.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".json" and path.name[0] not in "._")
    except OSError as error:
        return {}, [Finding(folder.name, "", "", f"the folder cannot be read: {error.strerror}")]
    accounts: dict[str, Account] = {}
    findings: list[Finding] = []
    for path in paths:
        account, found = read_account(path, secrets)
        findings += found
        if account:
            accounts[account.name] = account
    return accounts, findings + _same_mailbox(accounts, folder.name)


def read_account(path: Path, secrets: Secrets | None = None) -> tuple[Account | None, list[Finding]]:
    """Read one account file; None when it has an error."""
    file = f"{path.parent.name}/{path.name}"
    root = path.parent.parent
    secrets = secrets or Secrets(root / "secrets")
    account, findings = _read(path, file, Account, not_yet.ACCOUNT, {"name": path.stem, "secrets": secrets})
    if not _NAME.fullmatch(path.stem):
        findings.append(Finding(file, "", "", 'the file\'s name must be letters, digits, ".", "_" and "-"'))
    if account:
        findings += review(account, file, root)
    return (None if _errors(findings) else account), findings


def read_settings(path: Path) -> tuple[Settings | None, list[Finding]]:
    """Read the settings file; the defaults where there is no file, None when it has an error."""
    if not path.exists():
        return Settings(), []
    settings, findings = _read(path, path.name, Settings, not_yet.SETTINGS, {})
    return (None if _errors(findings) else settings), findings


def load_account(path: Path, secrets: Secrets | None = None) -> Account:
    """Return the account of one file; ConfigError lists everything that is wrong in it."""
    account, findings = read_account(path, secrets)
    raise_errors(findings)
    assert account is not None
    return account


def load_settings(path: Path) -> Settings:
    """Return the settings, without a file the defaults; ConfigError lists everything that is wrong."""
    settings, findings = read_settings(path)
    raise_errors(findings)
    assert settings is not None
    return settings


def _errors(findings: list[Finding]) -> bool:
    return any(finding.severity == "error" for finding in findings)


def _read(
    path: Path, file: str, model: type[_M], gaps: tuple[not_yet.Gap, ...], context: dict[str, Any]
) -> tuple[_M | None, list[Finding]]:
    """Read one file into its model, with the errors of its syntax, its values and its missing abilities."""
    try:
        text = _content(path)
        data = _parse(text)
    except _Bad as bad:
        return None, [Finding(file, bad.place, "", bad.text)]
    findings = list(not_yet.refused(data, gaps, file))
    try:
        return model.model_validate_json(text, strict=True, context=context), findings
    except ValidationError as error:
        return None, explain(error, model, file) + findings


def _content(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE + 1)
    except OSError as error:
        raise _Bad("", f"the file cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE:
        raise _Bad("", f"the file is larger than {MAX_FILE} bytes")
    try:
        return data.decode("utf-8-sig")  # some editors put a byte order mark in front
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _Bad(f"line {line}", "is not UTF-8 text; save the file as UTF-8") from None


def _parse(text: str) -> dict[str, Any]:
    try:
        data = json.loads(text, object_pairs_hook=_without_doubles, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise _Bad(f"line {error.lineno}, column {error.colno}", f"is not valid JSON: {error.msg}") from None
    except RecursionError:
        raise _Bad("", "is nested too deeply") from None
    except ValueError as error:  # a number of thousands of digits
        raise _Bad("", f"is not valid JSON: {error}") from None
    if not isinstance(data, dict):
        raise _Bad("", "must be an object { … }")
    return data  # pyright: ignore[reportUnknownVariableType]


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that stands twice: the first value would be ignored without a word."""
    data: dict[str, Any] = {}
    for key, value in pairs:
        if key in data:
            raise _Bad(key, "stands twice in the same object")
        data[key] = value
    return data


def _no_constant(name: str) -> NoReturn:
    raise _Bad("", f"is not valid JSON: {name} is not a number")


def _same_mailbox(accounts: dict[str, Account], folder: str) -> list[Finding]:
    """Take out every account that watches a mailbox of another one: each mail would be processed twice."""
    owners: dict[Mailbox, str] = {}
    findings: list[Finding] = []
    for name, account in list(accounts.items()):
        taken = [owners[mailbox] for mailbox in _watched(account) if mailbox in owners]
        if taken:
            text = f'watches the same mailbox as the account "{taken[0]}"; disable one of them'
            findings.append(Finding(f"{folder}/{name}.json", "receiving", "", text))
            del accounts[name]
        else:
            owners.update(dict.fromkeys(_watched(account), name))
    return findings


def _watched(account: Account) -> Iterator[Mailbox]:
    if account.enabled:
        yield from account.mailboxes()
