"""What every watcher works with; made once by the host."""

from __future__ import annotations

from dataclasses import dataclass

from revscript.model import Clock, ClockEvidence, ProblemSink
from revscript.store.bell import Bell
from revscript.store.blobs import Blobs
from revscript.store.intake import Intake


@dataclass(frozen=True, slots=True)
class Tools:
    """The store, the bell, and where problems and servers' dates go."""

    intake: Intake
    blobs: Blobs
    bell: Bell
    problems: ProblemSink
    clock: Clock
    evidence: ClockEvidence
