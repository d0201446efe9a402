"""Loading: read all files, let the jail check the scripts, keep the last good version of what is broken."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from revscript.config import Finding
from revscript.sandbox import Sandbox
from revscript.sandbox.sets import FileProblem, assemble
from revscript.snapshot import Assembled, Instance, Snapshot, compose, read_files


@dataclass(frozen=True, slots=True)
class Loader:
    """Makes snapshots of an instance, in which only scripts stand that can run."""

    instance: Instance
    sandbox: Sandbox

    def load(self, before: Snapshot | None = None) -> Snapshot:
        """The state of the files now; `before` is the one in force. JailBroken when scripts cannot be checked."""
        files = read_files(self.instance)
        wanted = {one.methods.script.file for one in files.accounts.values() if one.enabled and one.methods.script}
        sets = assemble(files.texts, files.tables, self.sandbox, wanted)
        refused = {name: tuple(_findings(problems)) for name, problems in sets.refused.items()}
        return compose(files, Assembled(sets.scripts, refused, tuple(_findings(sets.others))), before)


def _findings(problems: Iterable[FileProblem]) -> list[Finding]:
    return [Finding(f"user_scripts/{one.file}", _place(one), "", one.text) for one in problems]


def _place(problem: FileProblem) -> str:
    return f"line {problem.line}, column {problem.column}" if problem.line else ""
