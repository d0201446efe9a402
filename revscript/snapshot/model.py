"""The state of an instance's files at one moment: accounts, settings, scripts and what is wrong with them.

A mail is processed under the snapshot it was claimed under; a changed file makes the next snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from revscript.config import Account, Finding, Settings
from revscript.model import sha256_hex


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance folder and where its things lie."""

    root: Path

    @property
    def accounts(self) -> Path:
        """The folder of the account files."""
        return self.root / "accounts"

    @property
    def tables(self) -> Path:
        """The folder of the scripts' tables; it may be missing."""
        return self.user_scripts / "tables"

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
class Assembled:
    """Scripts as sets that can run, and why others cannot: findings by the script's file name.

    `findings` are about libraries that no script imports.
    """

    scripts: Mapping[str, Script]
    refused: Mapping[str, tuple[Finding, ...]] = field(default_factory=dict[str, tuple[Finding, ...]])
    findings: tuple[Finding, ...] = ()


def alone(texts: Mapping[str, str]) -> Assembled:
    """Each text as a script of its own, unchecked: for those who only look."""
    return Assembled({name: Script(name, text, sha256_hex(text)) for name, text in texts.items()})


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that the administrator's files say.

    Of a file with an error the last good version is in it. There is none after a start: then an account is missing, the
    settings are the defaults, and a script is in it as it is, and among the `refused`: its runs say why. The findings
    are in it in any case. `sha256` is over all that counts, with secrets as references, so that nobody can try out
    passwords on it.
    """

    accounts: Mapping[str, Account]
    settings: Settings
    scripts: Mapping[str, Script]
    findings: tuple[Finding, ...]
    sha256: str
    refused: frozenset[str] = frozenset()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that keep a file from being used."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    def script_of(self, account: Account) -> Script | None:
        """Return the script that the account runs; None when it runs none or the file is not there."""
        method = account.methods.script
        return self.scripts.get(method.file) if method else None
