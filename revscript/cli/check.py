"""`revscript check`: everything that is wrong in the instance's files, before a mail finds out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import typer

from revscript.cli.options import InstanceOption, JsonOption, instance_at
from revscript.cli.output import counted, emit, say
from revscript.config.findings import Severity
from revscript.host import sandbox_for
from revscript.sandbox.sets import assemble
from revscript.snapshot import Instance, Snapshot, load_snapshot, read_files

_STYLES = {"error": "red", "warning": "yellow"}


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of the result; its fields are the keys of the JSON object."""

    severity: Severity
    file: str
    place: str
    line: int | None
    column: int | None
    text: str

    def __str__(self) -> str:
        where = f"line {self.line}, column {self.column}" if self.line else self.place
        return f"{self.severity}: " + ": ".join(part for part in (self.file, where, self.text) if part)


def check(instance: InstanceOption = None, as_json: JsonOption = False) -> None:
    """Check accounts, settings and scripts.

    Settings are those of settings.json and of the environment. Scripts are compiled as the host does it. Exit code 1
    when there is an error, 0 with warnings only.

    JSON keys: severity, file, place, line, column, text.
    """
    where = instance_at(instance)
    snapshot = load_snapshot(where)
    lines = [*_findings(snapshot), *_scripts(where, snapshot)]
    for line in lines:
        if as_json:
            emit(asdict(line))
        else:
            say(str(line), _STYLES[line.severity])
    if not as_json:
        say(_summary(snapshot, lines))
    if any(line.severity == "error" for line in lines):
        raise typer.Exit(1)


def _findings(snapshot: Snapshot) -> Iterator[_Line]:
    for one in snapshot.findings:
        yield _Line(one.severity, one.file, one.place, None, None, one.text)


def _scripts(instance: Instance, snapshot: Snapshot) -> Iterator[_Line]:
    texts = {script.name: script.text for script in snapshot.scripts.values()}
    wanted = {method.file for account in snapshot.accounts.values() if (method := account.methods.script)}
    sandbox = sandbox_for(snapshot.settings)
    try:
        found = assemble(texts, read_files(instance).tables, sandbox, wanted)
    finally:
        sandbox.stop()
    for one in found.problems:
        yield _Line("error", f"user_scripts/{one.file}", "", one.line, one.column, one.text)
    if snapshot.accounts and not any(one.file.startswith("accounts/") for one in snapshot.errors):
        for name in sorted(found.scripts.keys() - wanted):
            text = f'no account runs this script; "methods": {{"script": {{"file": "{name}"}}}} in an account would'
            yield _Line("warning", f"user_scripts/{name}", "", None, None, text)


def _summary(snapshot: Snapshot, lines: list[_Line]) -> str:
    errors = sum(line.severity == "error" for line in lines)
    warnings = len(lines) - errors
    said = [counted(errors, "error")] if errors else []
    said += [counted(warnings, "warning")] if warnings else []
    what = f"{counted(len(snapshot.accounts), 'account')}, {counted(len(snapshot.scripts), 'script')}"
    return f"{what}: {', '.join(said) or 'fine'}"
