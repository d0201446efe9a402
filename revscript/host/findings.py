"""What is wrong in the administrator's files, as Problems that stand as long as it is."""

from __future__ import annotations

from collections.abc import Iterable

from revscript.config import Finding
from revscript.model import Problem, ProblemSink


class Findings:
    """Keeps the Problems in step with the findings of the snapshot in force."""

    def __init__(self, problems: ProblemSink) -> None:
        self._problems = problems
        self._shown: set[str] = set()

    def show(self, findings: Iterable[Finding]) -> None:
        """These stand now, and no others."""
        standing = {problem.key: problem for problem in map(_problem, findings)}
        for key in self._shown - standing.keys():
            self._problems.clear(key)
        for problem in standing.values():
            self._problems.report(problem)
        self._shown = set(standing)


def _problem(finding: Finding) -> Problem:
    return Problem(
        f"file:{finding.file}:{finding.place}",
        finding.file,
        ": ".join(part for part in (finding.place, finding.text) if part),
        "Mend the file; it is taken up by itself. `revscript check` shows all that is wrong.",
        finding.severity,
    )
