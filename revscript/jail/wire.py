"""The conversation between host and child: frames, and their limits.

A frame is 5 bytes of head (length of the body as big-endian uint32, then one byte of kind) and the body.
`J` frames hold one JSON object with its name under `t`; `R` frames hold raw bytes of an attachment.

    host → child   one job (ScriptJob | CompileJob | ReadJob | ExtractJob), then one answer per question
    child → host   log, effect, ask … (script) · reading, then small pieces (read) · piece, then its R frames …
                   (extract) · R frame with byte code (compile) · end

SECURITY: the child may be fully compromised. The host checks the length before it reads on, parses JSON with
pydantic against the classes below (strict, unknown keys and NaN refused), counts frames and bytes per job, and
accepts nothing after `end`. JSON, so that no second parser is needed in the host (sandbox.md §8).
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from revscript.jail.effects import Effect
from revscript.jail.limits import Items, Line, Range, Strict, Tagged, Text
from revscript.jail.questions import Question
from revscript.jail.reading.model import Reading

HEAD = struct.Struct(">IB")
JSON_FRAME = ord("J")
RAW_FRAME = ord("R")

MAX_JSON_FRAME = 8 << 20  # bytes; a Reading (2 × 1 MB of text, escaped) is the largest honest one
MAX_RAW_FRAME = 1 << 20  # bytes; also the size of a blob's row
MAX_SCRIPT_BYTES = 8 << 20  # all frames of a script's run together
MAX_SCRIPT_FRAMES = 1000
MAX_EFFECTS = 200  # effects and questions of one run
MAX_EFFECT_BYTES = 1 << 20
MAX_LOG_LINES = 500
MAX_LOG_BYTES = 64 << 10

# How a child leaves when it cannot send its `end` frame any more (sandbox.md §9).
EXIT_TIME, EXIT_CPU, EXIT_CAP, EXIT_MEMORY = 71, 72, 73, 74


# ---------------------------------------------------------------- child → host


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFrame(Strict):
    """One line of the script's protocol."""

    t: Literal["log"] = "log"
    text: Annotated[str, Text(MAX_LOG_BYTES)]


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectFrame(Strict):
    """A wish; the host collects it and applies it only after a clean end."""

    t: Literal["effect"] = "effect"
    effect: Annotated[Effect, Tagged("effect")]


@dataclass(frozen=True, slots=True, kw_only=True)
class AskFrame(Strict):
    """A question; the child waits for the answer."""

    t: Literal["ask"] = "ask"
    question: Annotated[Question, Tagged("question")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingFrame(Strict):
    """What the reader made of the mail."""

    t: Literal["reading"] = "reading"
    reading: Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class PieceFrame(Strict):
    """The attachment with this index follows as R frames."""

    t: Literal["piece"] = "piece"
    index: Annotated[int, Range(0, 9999)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame(Strict):
    """A line of the script's traceback."""

    line: Annotated[int, Range(0, 10**7)]
    function: Annotated[str, Line(300)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptTrouble(Strict):
    """Why a script did not end well: the exception's type and text, and only the script's own frames."""

    type: Annotated[str, Line(200)]
    text: Annotated[str, Text(2000)]
    frames: Annotated[tuple[Frame, ...], Items(20)] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptProblem(Strict):
    """What the policy refuses, before the script runs; lines and columns count from 1."""

    line: Annotated[int, Range(0, 10**7)] | None
    column: Annotated[int, Range(0, 10**7)] | None
    text: Annotated[str, Text(1000)]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndFrame(Strict):
    """The last frame. `memory`, `time`, `cpu` and `cap` are limits; `jail` is our own fault, nothing was read yet."""

    t: Literal["end"] = "end"
    kind: Literal["done", "refused", "failed", "time", "cpu", "memory", "cap", "jail"]
    problems: Annotated[tuple[ScriptProblem, ...], Items(50)] = ()
    trouble: ScriptTrouble | None = None


ChildFrame = Annotated[
    LogFrame | EffectFrame | AskFrame | ReadingFrame | PieceFrame | EndFrame,
    Tagged("t"),
]


# ---------------------------------------------------------------- host → child


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext(Strict):
    """What a script's run depends on beside the Reading. Times are ISO 8601 with offset."""

    mail_id: int
    account: str
    received: str
    now: str
    max_age: float  # minutes; an older mail is `late`
    clock_trusted: bool  # False: the host's clock is off, no mail counts as late
    time_zone: str
    channels: tuple[str, ...] = ()
    attachments_inline: bool = False  # pictures embedded in the HTML count as attachments too


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptJob(Strict):
    """Run `onEMail`. An R frame with the script's byte code follows, as a compile job has sent it."""

    job: Literal["script"] = "script"
    context: RunContext
    reading: Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileJob(Strict):
    """Compile a script: its byte code comes back as one R frame, or the end says what the policy refuses."""

    job: Literal["compile"] = "compile"
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadJob(Strict):
    """Read the mail in the memory file; `headers_only` reads no further than its head (the fallback).

    Behind the Reading come the attachments that fit into `files` bytes together, as pieces.
    """

    job: Literal["read"] = "read"
    headers_only: bool = False
    files: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractJob(Strict):
    """Bring out the attachments with these indexes."""

    job: Literal["extract"] = "extract"
    indexes: tuple[int, ...]


def head(kind: int, body: bytes) -> bytes:
    """The five bytes in front of a body."""
    return HEAD.pack(len(body), kind)


def pack_json(frame: dict[str, Any]) -> bytes:
    """A J frame from plain data; NaN is an error."""
    body = json.dumps(frame, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode()
    return head(JSON_FRAME, body) + body
