"""Everything that a method, a script or a person can want: the effects, each with its limits.

An effect is a wish. It travels as JSON with its name under `effect`, is checked by the host (pydantic, strict) and
carried out by `revscript.commit`, once. `words()` is the dry run: the effect as one line for people. What becomes of it
(a number, a late mail's lowered alarm) is told by the records.

A record is named by a reference (see `limits.Ref`): `effect:N` is the record that effect number N of the same run
makes, counted from 0. Attachments are named by their index in the Reading. `None` means: not said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from revscript.jail.limits import Address, Items, Line, Range, Ref, Strict, Text

MAX_TEXT = 200_000  # characters of one form or mail text: 50 pages, far above any real message
MAX_RECIPIENTS = 100
MAX_ATTACHMENTS = 200  # handbook mailboxes.md §5

Level = Literal["info", "important", "alarm"]
Priority = Literal["routine", "immediate", "flash", "emergency"]
MissionKind = Literal["real", "exercise", "medical_standby", "planned"]

Key = Annotated[str, Line(200, min=1)]
MissionRef = Annotated[str, Ref("mission")]
Index = Annotated[int, Range(0, 9999)]
Indexes = Annotated[tuple[Index, ...], Items(MAX_ATTACHMENTS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoreMail(Strict):
    """The script looked at the mail and decided to do nothing."""

    effect: Literal["ignore_mail"] = "ignore_mail"
    why: Annotated[str, Line(500, min=1)]

    def words(self) -> str:
        return f"ignored: {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelMail(Strict):
    """A word on the mail that people see and search for."""

    effect: Literal["label_mail"] = "label_mail"
    text: Annotated[str, Line(100, min=1)]

    def words(self) -> str:
        return f"label {self.text!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileForm(Strict):
    """The incoming message form of this mail: made, or filled while nobody has touched it (domain.md §2)."""

    effect: Literal["file_form"] = "file_form"
    key: Key | None = None
    subject: Annotated[str, Line(255)] | None = None
    text: Annotated[str, Text(MAX_TEXT)] | None = None
    priority: Priority | None = None
    mission: MissionRef | None = None
    sender_unit: Annotated[str, Line(200)] | None = None
    addressee: Annotated[str, Line(200)] | None = None
    distribution: Annotated[tuple[Annotated[str, Line(20, min=1)], ...], Items(40)] = ()
    attachments: Indexes = ()

    def words(self) -> str:
        subject = "with the mail's subject" if self.subject is None else repr(self.subject)
        mission = f"for {_mission(self.mission)}" if self.mission else ""
        parts = (f"message form {subject}", self.priority, _counted(len(self.attachments)), mission)
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class MissionFields(Strict):
    """What a mission says about itself; `None` or empty leaves what is there."""

    title: Annotated[str, Line(255)] | None = None
    keyword: Annotated[str, Line(100)] | None = None
    text: Annotated[str, Text(MAX_TEXT)] | None = None
    address: Annotated[str, Line(300)] | None = None
    lat: Annotated[float, Range(-90, 90)] | None = None
    lon: Annotated[float, Range(-180, 180)] | None = None
    units: Annotated[tuple[Annotated[str, Line(100, min=1)], ...], Items(500)] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UpsertMission(Strict):
    """The mission with this control-centre number: opened, or changed where the fields say something new."""

    effect: Literal["upsert_mission"] = "upsert_mission"
    number: Annotated[str, Line(100, min=1)]
    kind: MissionKind = "real"
    fields: MissionFields

    def words(self) -> str:
        what = " ".join(part for part in (self.fields.keyword, self.fields.address or self.fields.title) if part)
        return f"{_kind(self.kind)} {self.number}: {what}".rstrip(": ")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenMission(Strict):
    """A mission without a foreign number; `title` inside `fields` names it."""

    effect: Literal["open_mission"] = "open_mission"
    kind: MissionKind = "real"
    fields: MissionFields

    def words(self) -> str:
        return f"new {_kind(self.kind)} {self.fields.title or self.fields.keyword or ''!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddToFolder(Strict):
    """Attachments into a mission's folder; without a mission into the one that runs, else the unassigned tray."""

    effect: Literal["add_to_folder"] = "add_to_folder"
    mission: MissionRef | None = None
    attachments: Indexes
    raw: bool = False  # the mail itself, as a file: of one that could not be taken apart
    tags: Annotated[tuple[Annotated[str, Line(50, min=1)], ...], Items(20)] = ()

    def words(self) -> str:
        where = "the running mission's folder" if self.mission is None else f"the folder of {_mission(self.mission)}"
        what = "the mail itself" if self.raw else _counted(len(self.attachments)) or "nothing"
        return f"{what} into {where}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify(Strict):
    """A notice for people; the same key is one notice, updated."""

    effect: Literal["notify"] = "notify"
    audience: Literal["all", "role", "person", "channel"]
    name: Annotated[str, Line(100)] = ""
    text: Annotated[str, Text(2000)]
    level: Level = "info"
    key: Key | None = None
    about: MissionRef | None = None

    def words(self) -> str:
        whom = self.audience if not self.name else f"{self.audience} {self.name}"
        return f"notice ({self.level}) to {whom}: {' '.join(self.text.split())}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFile(Strict):
    """An attachment that the script wrote itself."""

    name: Annotated[str, Line(200, min=1)]
    text: Annotated[str, Text(MAX_TEXT)]


@dataclass(frozen=True, slots=True, kw_only=True)
class SendMail(Strict):
    """A mail, sent through the outbox of `account` (none: the mail's own account, else the default sender)."""

    effect: Literal["send_mail"] = "send_mail"
    to: Annotated[tuple[Annotated[str, Address()], ...], Items(MAX_RECIPIENTS)]
    cc: Annotated[tuple[Annotated[str, Address()], ...], Items(MAX_RECIPIENTS)] = ()
    subject: Annotated[str, Line(500)]
    text: Annotated[str, Text(MAX_TEXT)]
    html: Annotated[str, Text(MAX_TEXT)] | None = None
    attachments: Indexes = ()
    files: Annotated[tuple[TextFile, ...], Items(20)] = ()
    in_reply_to: Annotated[str, Line(500)] | None = None
    account: Annotated[str, Line(100, min=1)] | None = None
    key: Key | None = None

    def words(self) -> str:
        files = _counted(len(self.attachments) + len(self.files))
        return f"mail to {', '.join((*self.to, *self.cc))}: {self.subject!r}" + (f", {files}" if files else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowInCentre(Strict):
    """The mail appears in the communication centre's shared inbox."""

    effect: Literal["show_in_centre"] = "show_in_centre"

    def words(self) -> str:
        return "shown in the communication centre"


Effect = (
    IgnoreMail | LabelMail | FileForm | UpsertMission | OpenMission | AddToFolder | Notify | SendMail | ShowInCentre
)


def attachment_indexes(effect: Effect) -> tuple[int, ...]:
    """Indexes of the mail's attachments that the effect needs as files."""
    return getattr(effect, "attachments", ())


def _counted(attachments: int) -> str:
    return f"{attachments} attachment{'' if attachments == 1 else 's'}" if attachments else ""


def _kind(kind: MissionKind) -> str:
    return "mission" if kind == "real" else f"{kind.replace('_', ' ')} mission"


def _mission(ref: str) -> str:
    word, _, number = ref.partition(":")
    return "the mission above" if word == "effect" else f"mission no. {number}"
