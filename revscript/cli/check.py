"""`revscript check`: everything that is wrong in the instance's files, before a mail finds out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import typer

from revscript.cli.options import InstanceOption, JsonOption, instance_at
from revscript.cli.output import counted, emit, say
from revscript.config.findings import Severity
from revscript.host import sandbox_for
from revscript.sandbox import Sandbox
from revscript.snapshot import Script, Snapshot, load_snapshot

_ENTRY = re.compile(r"^(async\s+)?def\s+onEMail\b", re.MULTILINE)
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

    Scripts are compiled as the host does it. Exit code 1 when there is an error, 0 with warnings only.

    JSON keys: severity, file, place, line, column, text.
    """
    snapshot = load_snapshot(instance_at(instance))
    lines = [*_findings(snapshot), *_scripts(snapshot)]
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


def _scripts(snapshot: Snapshot) -> Iterator[_Line]:
    sandbox = sandbox_for(snapshot.settings)
    wanted = {method.file for account in snapshot.accounts.values() if (method := account.methods.script)}
    try:
        for script in snapshot.scripts.values():
            yield from _script(script, sandbox, is_library=script.name not in wanted)
    finally:
        sandbox.stop()


def _script(script: Script, sandbox: Sandbox, *, is_library: bool) -> Iterator[_Line]:
    text = script.text
    if is_library and not _ENTRY.search(text):  # a library is checked like a script, but needs no onEMail
        text += "\ndef onEMail(mail):\n    pass\n"
    for problem in sandbox.check_script(text):
        yield _Line("error", f"user_scripts/{script.name}", "", problem.line, problem.column, problem.text)


def _summary(snapshot: Snapshot, lines: list[_Line]) -> str:
    errors = sum(line.severity == "error" for line in lines)
    warnings = len(lines) - errors
    said = [counted(errors, "error")] if errors else []
    said += [counted(warnings, "warning")] if warnings else []
    what = f"{counted(len(snapshot.accounts), 'account')}, {counted(len(snapshot.scripts), 'script')}"
    return f"{what}: {', '.join(said) or 'fine'}"
