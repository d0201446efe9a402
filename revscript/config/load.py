"""From files to accounts and settings, with everything that is wrong in them.

A bad file concerns only its own account. `read_…` never raises; `load_…` does the same for one file, and
raises.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from revscript.config import not_yet
from revscript.config.account import Account
from revscript.config.base import Model
from revscript.config.environment import settings_with
from revscript.config.findings import Finding, explain, raise_errors
from revscript.config.review import review, review_settings
from revscript.config.secrets import Secrets
from revscript.config.settings import Settings
from revscript.config.syntax import BadFile, content, parse

_NAME = re.compile(r"\w[\w.-]{0,99}")  # an account's name stands in addresses, logs and commands

_M = TypeVar("_M", bound=Model)


def read_accounts(folder: Path, secrets: Secrets | None = None) -> tuple[dict[str, Account], list[Finding]]:
    """Read every account of the folder by itself: the good ones by name, and all findings in the files' order.

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
    return accounts, findings


def read_account(path: Path, secrets: Secrets | None = None) -> tuple[Account | None, list[Finding]]:
    """Read one account file; None when it has an error."""
    file = f"{path.parent.name}/{path.name}"
    root = path.parent.parent
    secrets = secrets or Secrets(root / "secrets")
    data, findings = _data(path, file)
    account = None
    if data is not None:
        context = {"name": path.stem, "secrets": secrets}
        account, findings = _checked(data, file, Account, not_yet.ACCOUNT, context)
    if not is_account_name(path.stem):
        text = 'rename the file: letters, digits, ".", "_" and "-" only, a letter or digit first'
        findings.append(Finding(file, "", "", text))
    if account:
        findings += review(account, file, root)
    return (None if _errors(findings) else account), findings


def is_account_name(name: str) -> bool:
    """Whether a file of this name (without `.json`) can be an account."""
    return bool(_NAME.fullmatch(name)) and name[0] != "_"


def review_draft(data: dict[str, Any]) -> list[Finding]:
    """Return what is wrong in an account's content that lies in no file yet; secrets and files are not looked up."""
    return _checked(data, "", Account, not_yet.ACCOUNT, {})[1]


def read_settings(path: Path, environ: Mapping[str, str] | None = None) -> tuple[Settings | None, list[Finding]]:
    """Read the settings file, without one the defaults, and lay the environment's settings over it.

    None when the file has an error; an error in the environment (`environ`, by default this process's) costs only
    the variable.
    """
    data, findings = _data(path, path.name) if path.exists() else ({}, [])
    if data is not None:
        findings = _checked(data, path.name, Settings, not_yet.SETTINGS, {})[1]
    good = not _errors(findings)
    settings, told = settings_with(data or {}, os.environ if environ is None else environ)
    if settings and good:
        findings += review_settings(settings, path)
    return (settings if good else None), findings + told


def load_account(path: Path, secrets: Secrets | None = None) -> Account:
    """Return the account of one file; ConfigError lists everything that is wrong in it."""
    account, findings = read_account(path, secrets)
    raise_errors(findings)
    assert account is not None
    return account


def load_settings(path: Path, environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of file and environment; ConfigError lists everything that is wrong."""
    settings, findings = read_settings(path, environ)
    raise_errors(findings)
    assert settings is not None
    return settings


def _errors(findings: list[Finding]) -> bool:
    return any(finding.severity == "error" for finding in findings)


def _data(path: Path, file: str) -> tuple[dict[str, Any] | None, list[Finding]]:
    """Read a file's content as it was written; None when it is no JSON object."""
    try:
        return parse(content(path)), []
    except BadFile as bad:
        return None, [Finding(file, bad.place, "", bad.text)]


def _checked(
    data: dict[str, Any], file: str, model: type[_M], gaps: tuple[not_yet.Gap, ...], context: dict[str, Any]
) -> tuple[_M | None, list[Finding]]:
    """Make the model of a file's content, with the errors of its values and its missing abilities."""
    findings = list(not_yet.refused(data, gaps, file))
    try:
        return model.model_validate_json(json.dumps(data), strict=True, context=context), findings
    except ValidationError as error:
        return None, explain(error, model, file, not_yet.HIDDEN) + findings
