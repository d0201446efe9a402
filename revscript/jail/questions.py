"""What a run may ask the host, and what the host answers.

An answer shows committed rows only, cut down to what a script can see, ordered by id. The run record keeps both, and
the commit asks again (design §5). References inside answers (`ref`) are the handles that effects may name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from revscript.jail.effects import Key, MissionFields, MissionKind
from revscript.jail.limits import Line, Strict


@dataclass(frozen=True, slots=True, kw_only=True)
class FindMission(Strict):
    """The mission with this number → `MissionAnswer` or nothing."""

    question: Literal["find_mission"] = "find_mission"
    number: Annotated[str, Line(100)]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningMissions(Strict):
    """All running missions → list of `MissionAnswer`, oldest first."""

    question: Literal["running_missions"] = "running_missions"


@dataclass(frozen=True, slots=True, kw_only=True)
class FindForm(Strict):
    """The form with this key, without a key the form of this mail → `FormAnswer` or nothing."""

    question: Literal["find_form"] = "find_form"
    key: Key | None = None


Question = FindMission | RunningMissions | FindForm


@dataclass(frozen=True, slots=True, kw_only=True)
class MissionAnswer(Strict):
    """A mission as scripts see it. `as_of`: date of the newest mail that changed it (ISO 8601), or None."""

    ref: str
    number: str
    kind: MissionKind
    state: str
    lead: bool
    as_of: str | None
    fields: MissionFields


@dataclass(frozen=True, slots=True, kw_only=True)
class FormAnswer(Strict):
    """A message form as scripts see it. `touched`: a person has worked on it, so its words stand."""

    ref: str
    number: int
    state: str
    priority: str
    subject: str
    key: str | None
    mission: str | None
    touched: bool


Answer = list[MissionAnswer] | MissionAnswer | FormAnswer | None
