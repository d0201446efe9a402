"""An instance's files as they lie there at one moment, each read and checked by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from revscript.config import Account, Finding, Secrets, Settings, read_accounts, read_settings
from revscript.model import encodable
from revscript.snapshot.model import Instance

MAX_FILE = 1_000_000  # bytes: far above any script or table that somebody wrote by hand


@dataclass(frozen=True, slots=True)
class Files:
    """What could be read, and findings about the rest. `settings` is None where the file has an error.

    `texts` are scripts and libraries, `tables` the files of `user_scripts/tables`, both by file name.
    """

    accounts: Mapping[str, Account]
    settings: Settings | None
    texts: Mapping[str, str]
    tables: Mapping[str, str]
    findings: tuple[Finding, ...]


def read_files(instance: Instance, secrets: Secrets | None = None) -> Files:
    """Read everything; never raises."""
    secrets = secrets or Secrets(instance.secrets)
    accounts, findings = read_accounts(instance.accounts, secrets)
    settings, wrong_settings = read_settings(instance.settings, secrets.environ)
    texts, wrong_texts = read_texts(instance.user_scripts, is_script, "user_scripts")
    tables, wrong_tables = read_texts(instance.tables, is_table, "user_scripts/tables")
    return Files(accounts, settings, texts, tables, (*findings, *wrong_settings, *wrong_texts, *wrong_tables))


def is_script(name: str) -> bool:
    """Whether a file of `user_scripts` is a script or library: neither hidden, nor private, nor a test."""
    return name.endswith(".py") and not name.startswith(("_", ".", "test_"))


def is_table(name: str) -> bool:
    """Whether a file of `user_scripts/tables` is a table."""
    return name.endswith((".csv", ".json")) and name[0] not in "._"


def read_texts(folder: Path, wanted: Callable[[str], bool], where: str) -> tuple[dict[str, str], list[Finding]]:
    """Read the wanted files of a folder, by file name; findings name them below `where`."""
    texts: dict[str, str] = {}
    findings: list[Finding] = []
    for path in sorted(folder.glob("*")):
        if not wanted(path.name):
            continue
        if path.name != encodable(path.name):
            findings.append(Finding(f"{where}/{path.name}", "", "", "rename the file: its name is not UTF-8 text"))
            continue
        try:
            texts[path.name] = _text(path)
        except FileNotFoundError:  # removed since it was listed
            continue
        except OSError as error:
            findings.append(Finding(f"{where}/{path.name}", "", "", f"cannot be read: {error.strerror}"))
        except ValueError as error:
            findings.append(Finding(f"{where}/{path.name}", "", "", str(error)))
    return texts, findings


def _text(path: Path) -> str:
    with path.open("rb") as stream:
        data = stream.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise ValueError(f"is larger than {MAX_FILE} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if path.suffix == ".csv":  # as spreadsheets on German Windows machines save it
            return data.decode("cp1252", "replace")
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not UTF-8 text; save the file as UTF-8") from None
