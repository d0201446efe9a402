"""The state of an instance's files at one moment: accounts, settings, scripts and what is wrong with them.

A mail is processed under the snapshot it was claimed under; a changed file makes the next snapshot.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType

from revscript.config import (
    Account,
    Finding,
    NoSending,
    ScriptMethod,
    Secrets,
    Settings,
    read_accounts,
    read_settings,
)
from revscript.model import canonical_json, sha256_hex

MAX_SCRIPT = 1_000_000  # bytes: far above any script that somebody wrote by hand


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance folder and where its things lie."""

    root: Path

    @property
    def accounts(self) -> Path:
        """The folder of the account files."""
        return self.root / "accounts"

    @property
    def user_scripts(self) -> Path:
        """The folder of the administrators' scripts."""
        return self.root / "user_scripts"

    @property
    def settings(self) -> Path:
        """The settings file; it may be missing."""
        return self.root / "settings.json"

    @property
    def secrets(self) -> Path:
        """The folder of the secrets; it may be missing."""
        return self.root / "secrets"

    @property
    def data(self) -> Path:
        """The folder of the database and everything else that revscript writes."""
        return self.root / "data"


@dataclass(frozen=True, slots=True)
class Script:
    """A script of the administrators with all that it needs, as one whole: the set runs together or not at all.

    `name` is its file's (`onEMail.py`); `libraries` are the modules that it imports, directly or not, name → text;
    `tables` are the files of `user_scripts/tables`, file name → text. `sha256` is over all of them.
    """

    name: str
    text: str
    sha256: str
    libraries: Mapping[str, str] = field(default_factory=dict[str, str])
    tables: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that the administrator's files say. An account with an error is not in it, its findings are.

    `sha256` is over all that counts, with secrets as references, so that nobody can try out passwords on it.
    `settings` are the defaults where the settings file has an error.
    """

    accounts: Mapping[str, Account]
    settings: Settings
    scripts: Mapping[str, Script]
    findings: tuple[Finding, ...]
    sha256: str

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that keep a file from being used."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    def script_of(self, account: Account) -> Script | None:
        """Return the script that the account runs; None when it runs none or the file is not there."""
        method = account.methods.script
        return self.scripts.get(method.file) if method else None


def load_snapshot(instance: Instance, secrets: Secrets | None = None) -> Snapshot:
    """Read all files of the instance; whatever is wrong with them is among the `findings`, never raised."""
    accounts, findings = read_accounts(instance.accounts, secrets or Secrets(instance.secrets))
    findings += _none_enabled(accounts, findings, instance.accounts.name)
    settings, wrong_settings = read_settings(instance.settings)
    scripts, wrong_scripts = read_scripts(instance.user_scripts)
    findings += [*wrong_settings, *wrong_scripts]
    findings += _script_files(accounts, scripts)
    if settings:
        findings += _default_sender(settings, accounts)
    settings = settings or Settings()
    return Snapshot(
        MappingProxyType(accounts),
        settings,
        MappingProxyType(scripts),
        tuple(findings),
        _digest(accounts, settings, scripts),
    )


def read_scripts(folder: Path) -> tuple[dict[str, Script], list[Finding]]:
    """Read the scripts and libraries of the folder by file name; `_…` and `test_…` are none of both."""
    scripts: dict[str, Script] = {}
    findings: list[Finding] = []
    for path in sorted(folder.glob("*.py")):
        if path.name.startswith(("_", ".", "test_")):
            continue
        try:
            text = _script_text(path)
        except OSError as error:
            findings.append(Finding(f"{folder.name}/{path.name}", "", "", f"cannot be read: {error.strerror}"))
        except ValueError as error:
            findings.append(Finding(f"{folder.name}/{path.name}", "", "", str(error)))
        else:
            scripts[path.name] = Script(path.name, text, sha256_hex(text))
    return scripts, findings


def _script_text(path: Path) -> str:
    with path.open("rb") as stream:
        data = stream.read(MAX_SCRIPT + 1)
    if len(data) > MAX_SCRIPT:
        raise ValueError(f"is larger than {MAX_SCRIPT} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not UTF-8 text; save the file as UTF-8") from None


def _none_enabled(accounts: Mapping[str, Account], findings: list[Finding], folder: str) -> list[Finding]:
    # An account with an error may be an enabled one: then the error is what there is to say.
    if not accounts or any(account.enabled for account in accounts.values()):
        return []
    if any(finding.severity == "error" for finding in findings):
        return []
    text = f'no account is enabled: set "enabled": true in {folder}/NAME.json'
    return [Finding(folder, "", "", text, "warning")]


def _script_files(accounts: Mapping[str, Account], scripts: Mapping[str, Script]) -> Iterator[Finding]:
    for name, account in accounts.items():
        method = account.methods.script
        if account.enabled and isinstance(method, ScriptMethod) and method.file not in scripts:
            text = f"there is no script user_scripts/{method.file}; its mails go into quarantine"
            text += _meant(method.file, scripts)
            yield Finding(f"accounts/{name}.json", "methods.script.file", f'"{method.file}"', text, "warning")


def _meant(file: str, scripts: Mapping[str, Script]) -> str:
    names = {Path(name).stem.lower(): name for name in scripts}
    close = get_close_matches(Path(file).stem.lower(), names, 1)
    return f'; did you mean "{names[close[0]]}"?' if close else ""


def _default_sender(settings: Settings, accounts: Mapping[str, Account]) -> Iterator[Finding]:
    name = settings.default_sender
    account = accounts.get(name or "")
    if name and (account is None or not account.enabled or isinstance(account.sending, NoSending)):
        text = f'"{name}" is not an enabled account that sends'
        yield Finding("settings.json", "default_sender", f'"{name}"', text, "warning")


def _digest(accounts: Mapping[str, Account], settings: Settings, scripts: Mapping[str, Script]) -> str:
    content = {
        "accounts": {name: account.model_dump(mode="json") for name, account in accounts.items()},
        "settings": settings.model_dump(mode="json"),
        "scripts": {name: script.sha256 for name, script in scripts.items()},
    }
    return sha256_hex(canonical_json(content))
