"""The conversation between host and child: frames, and their limits.

A frame is 5 bytes of head (length of the body as big-endian uint32, then one byte of kind) and the body.
`J` frames hold one JSON object with its name under `t`; `R` frames hold raw bytes of an attachment.

    host → child   one job (ScriptJob | CompileJob | TableJob | ReadJob | ExtractJob), for a script its byte codes as
                   R frames, then one answer per question and one R frame per table
    child → host   log, effect, ask, table … (script) · reading, then small pieces (read) · piece, then its R frames …
                   (extract) · outline, then R frame with byte code (compile) · end

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
from revscript.jail.limits import FileName, Items, Line, Range, Strict, Tagged, Text
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
MAX_OUTLINE = 4 << 20  # bytes; the names in a script of 256 KiB, escaped
MAX_IMPORTS = 500  # of libraries in one file, and uses of tables
MAX_DEFINED = 5000  # names that a library offers
MAX_NAME = 200  # characters of a name in an outline
MAX_FILE_NAME = 255  # bytes; what file systems allow

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
class TableFrame(Strict):
    """The script needs this table of its set; the child waits for its text (R frame)."""

    t: Literal["table"] = "table"
    file: Annotated[str, FileName(MAX_FILE_NAME)]


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
    """A line of the script's traceback; `function` of a library's line is `units.py in convert`."""

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


Name = Annotated[str, Line(MAX_NAME, min=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported(Strict):
    """`from module import names` where `module` is none that scripts have: it must be a library."""

    module: Name
    names: Annotated[tuple[Name, ...], Items(MAX_IMPORTS)]
    line: Annotated[int, Range(1, 10**7)]
    column: Annotated[int, Range(1, 10**7)]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableUse(Strict):
    """`tables("name")` with the name written out."""

    name: Annotated[str, Line(MAX_NAME)]
    line: Annotated[int, Range(1, 10**7)]
    column: Annotated[int, Range(1, 10**7)]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlineFrame(Strict):
    """What a file of scripts is made of, as far as it can be read; first frame of each compile job.

    `entry`: why it is no script, when it is none. `defines`: names that a library offers. `any_table`: it uses tables
    whose names are not written out.
    """

    t: Literal["outline"] = "outline"
    is_script: bool = False
    entry: ScriptProblem | None = None
    imports: Annotated[tuple[Imported, ...], Items(MAX_IMPORTS)] = ()
    defines: Annotated[tuple[Name, ...], Items(MAX_DEFINED)] = ()
    tables: Annotated[tuple[TableUse, ...], Items(MAX_IMPORTS)] = ()
    any_table: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EndFrame(Strict):
    """The last frame. `memory`, `time`, `cpu` and `cap` are limits; `jail` is our own fault, nothing was read yet."""

    t: Literal["end"] = "end"
    kind: Literal["done", "refused", "failed", "time", "cpu", "memory", "cap", "jail"]
    problems: Annotated[tuple[ScriptProblem, ...], Items(50)] = ()
    trouble: ScriptTrouble | None = None


ChildFrame = Annotated[
    LogFrame | EffectFrame | AskFrame | TableFrame | ReadingFrame | PieceFrame | OutlineFrame | EndFrame,
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
    clock_trusted: bool  # False: the host's clock is off, and the mail has not lain here for long: it is not late
    time_zone: str
    channels: tuple[str, ...] = ()
    attachments_inline: bool = False  # pictures embedded in the HTML count as attachments too


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptJob(Strict):
    """Run `onEMail`. R frames with byte codes follow, as compile jobs have sent them: the script's, each library's.

    `tables`: files that the script may ask for.
    """

    job: Literal["script"] = "script"
    context: RunContext
    reading: Reading
    libraries: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileJob(Strict):
    """Compile a script or library: its byte code comes back as one R frame, or the end says what is refused."""

    job: Literal["compile"] = "compile"
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TableJob(Strict):
    """Look whether a table can be read; the end says what is wrong with it."""

    job: Literal["table"] = "table"
    file: str
    text: str


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
