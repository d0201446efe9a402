"""What the jail is asked to do: read a mail, extract attachments, check a script, run a script."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from revscript.errors import JailBroken
from revscript.jail import wire
from revscript.jail.confine import Limits
from revscript.jail.effects import Effect
from revscript.jail.plain import to_plain
from revscript.jail.questions import Question
from revscript.jail.reading.model import MAX_PARTS, Reading
from revscript.model import Asked, Trouble, sha256_hex
from revscript.sandbox.conversation import Allowance, Conversation, JobEnd
from revscript.sandbox.zygote import Zygote, ZygoteDied

READ_WALL = 30_000  # ms for reading or extracting, plus READ_WALL_PER_MIB for each MiB of the mail
READ_WALL_PER_MIB = 1000
READ_MEMORY = 256  # MiB for reading, plus four times the mail (sandbox.md §11)
SOME_DATE = "2000-01-01T00:00:00+00:00"  # a good one, in the place of none
EXTRACT_ROOM = 1 << 16  # bytes of frames beside the attachments themselves
SMALL_FILES = 256 << 10  # bytes of attachments that come along with the Reading
MOST_CODES = 200  # scripts whose byte code is kept

_SCRIPT = Allowance((wire.EffectFrame, wire.LogFrame, wire.AskFrame), wire.MAX_SCRIPT_BYTES, wire.MAX_SCRIPT_FRAMES)
_COMPILE = Allowance((bytes,), wire.MAX_RAW_FRAME)
_READ = Allowance(
    (wire.ReadingFrame, wire.PieceFrame, bytes), wire.MAX_JSON_FRAME + SMALL_FILES + EXTRACT_ROOM, 2 + 2 * MAX_PARTS
)

_HARMLESS = "def onEMail(mail):\n    pass\n"

Result = TypeVar("Result")
Take = Callable[[int, Iterator[bytes]], None]


@dataclass(slots=True)
class ScriptRun:
    """What a script's run brought: all of it counts only when `end.kind` is `done`."""

    effects: list[Effect] = field(default_factory=list[Effect])
    log: list[str] = field(default_factory=list[str])
    asked: list[Asked] = field(default_factory=list[Asked])
    end: JobEnd = field(default_factory=lambda: JobEnd("crash"))


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A script's byte code, or why there is none."""

    end: JobEnd
    code: bytes | None


class ReaderDied(Exception):
    """The reading child did not come to an end: the mail's doing."""

    def __init__(self, end: JobEnd) -> None:
        super().__init__(str(end.trouble or end.kind))
        self.end = end


class Sandbox:
    """Runs jobs in confined children. `script` are a script's limits; at most `children` work at a time."""

    def __init__(self, script: Limits, children: int) -> None:
        self._script_limits = script
        self._places = threading.BoundedSemaphore(children)
        self._lock = threading.Lock()
        self._stopped = False
        self._zygote: Zygote | None = None
        self._codes: dict[str, _Compiled] = {}

    def start(self) -> None:
        """Start the zygote now rather than with the first job."""
        self._stopped = False
        self._living()

    def stop(self) -> None:
        """End the zygote and all its children: jobs under way and later ones raise JailBroken."""
        with self._lock:
            self._stopped = True
            if self._zygote:
                self._zygote.close()
                self._zygote = None

    @property
    def zygote_pid(self) -> int | None:
        """Process id of the zygote, for measuring and for tests."""
        return self._zygote.pid if self._zygote else None

    def _living(self) -> Zygote:
        with self._lock:
            if self._stopped:
                raise JailBroken("The jail was stopped.")
            if self._zygote is None or not self._zygote.alive:
                if self._zygote:
                    self._zygote.close()
                self._zygote = Zygote()
            return self._zygote

    @contextmanager
    def _talk(self, limits: Limits, allowance: Allowance, mail: int | None = None) -> Generator[Conversation]:
        with self._places:
            try:
                conversation = Conversation(self._living(), limits, allowance, mail)
            except OSError as error:  # no descriptors, no memory, no processes left
                raise JailBroken(f"The confined process cannot be used: {error}") from error
            try:
                yield conversation
            finally:
                conversation.dispose()

    def run_script(
        self, source: str, reading: Reading, context: wire.RunContext, answer: Callable[[Question], Any]
    ) -> ScriptRun:
        """Run `onEMail`; `answer` gives plain data for each question. Raises JailBroken, and what it raises."""
        compiled = self._compiled(source)
        if compiled.code is None:
            return ScriptRun(end=compiled.end)
        job = to_plain(wire.ScriptJob(context=context, reading=reading))
        code = compiled.code
        return _with_second_chance(lambda: self._run_script(job, code, answer))

    def _run_script(self, job: dict[str, Any], code: bytes, answer: Callable[[Question], Any]) -> ScriptRun:
        run = ScriptRun()
        with self._talk(self._script_limits, _SCRIPT) as talk:
            talk.send(job, code)
            for frame in talk.frames():
                match frame:
                    case wire.EffectFrame():
                        run.effects.append(frame.effect)
                    case wire.AskFrame():
                        given = answer(frame.question)
                        run.asked.append(Asked(to_plain(frame.question), given))
                        talk.send({"answer": given})
                    case _:
                        run.log.append(frame.text)
            run.end = talk.finish()
        return run

    def works(self) -> bool:
        """Whether a harmless job gets through: tells a broken jail from a mail that breaks its child."""
        try:
            return _with_second_chance(lambda: self._compile(_HARMLESS)).code is not None
        except JailBroken:
            return False

    def check_script(self, source: str) -> tuple[wire.ScriptProblem, ...]:
        """What the policy refuses in a script; empty when it may run."""
        end = self._compiled(source).end
        if end.kind in ("done", "refused"):
            return end.problems
        return (wire.ScriptProblem(line=None, column=None, text=f"compiling ended by {end.trouble}"),)

    def _compiled(self, source: str) -> _Compiled:
        """Compile in a child, once per text. The byte code stays opaque here; only children load it."""
        key = sha256_hex(source)
        known = self._codes.get(key)
        if known is None:
            known = _with_second_chance(lambda: self._compile(source))
            if known.end.kind in ("done", "refused"):  # a limit may be a busy machine's: try again next time
                if len(self._codes) >= MOST_CODES:
                    self._codes.clear()
                self._codes[key] = known
        return known

    def _compile(self, source: str) -> _Compiled:
        with self._talk(self._script_limits, _COMPILE) as talk:
            talk.send(to_plain(wire.CompileJob(source=source)))
            sent = list(talk.frames())
            end = talk.finish()
        if end.kind == "done" and len(sent) != 1:
            end = JobEnd("protocol", trouble=Trouble("protocol", "compiling ended without byte code"))
        return _Compiled(end, sent[0] if end.kind == "done" and sent else None)

    def read(self, mail: Iterable[bytes], size: int, *, headers_only: bool = False) -> Reading:
        """Read a raw mail of `size` bytes; ReaderDied when the reader did not survive it."""
        with memory_file(mail) as file:
            job = wire.ReadJob(headers_only=headers_only)
            return _with_second_chance(lambda: self._read(file, size, job))[0]

    def read_with_files(self, mail: Iterable[bytes], size: int) -> tuple[Reading, dict[int, bytes]]:
        """`read`, and by their index the attachments that fit into `SMALL_FILES` together."""
        with memory_file(mail) as file:
            job = wire.ReadJob(files=SMALL_FILES)
            return _with_second_chance(lambda: self._read(file, size, job))

    def _read(self, file: int, size: int, job: wire.ReadJob) -> tuple[Reading, dict[int, bytes]]:
        reading: Reading | None = None
        files: dict[int, bytes] = {}
        with self._talk(_reading_limits(size), _READ, file) as talk:
            talk.send(to_plain(job))
            frames = talk.frames()
            first = next(frames, None)
            if isinstance(first, wire.ReadingFrame):
                reading = first.reading
            for index, pieces in _pieces(frames):
                files[index] = b"".join(pieces)
            end = talk.finish()
        if end.kind != "done" or reading is None:
            raise ReaderDied(end)
        if flaw := _flaw(reading):
            raise ReaderDied(JobEnd("protocol", trouble=Trouble("protocol", flaw), cpu_ms=end.cpu_ms))
        return reading, files

    def extract(self, mail: Iterable[bytes], size: int, indexes: tuple[int, ...], take: Take) -> None:
        """Bring out attachments: `take(index, pieces)` for each of `indexes`; ReaderDied when that fails."""
        with memory_file(mail) as file:
            _with_second_chance(lambda: self._extract(file, size, indexes, take))

    def _extract(self, file: int, size: int, indexes: tuple[int, ...], take: Take) -> None:
        missing = set(indexes)
        max_frames = 2 + 2 * len(indexes) + size // 1024
        allowance = Allowance((wire.PieceFrame, bytes), size + EXTRACT_ROOM, max_frames)
        with self._talk(_reading_limits(size), allowance, file) as talk:
            talk.send(to_plain(wire.ExtractJob(indexes=indexes)))
            for index, pieces in _pieces(talk.frames()):
                if index in missing:
                    missing.remove(index)
                    take(index, pieces)
            end = talk.finish()
        if end.kind != "done" or missing:
            raise ReaderDied(end)


def _flaw(reading: Reading) -> str:
    """What is wrong with a Reading that keeps its limits, and would trip up whoever works with it."""
    if any(len(field) != 2 for field in reading.headers):
        return "a header field that is not name and value"
    try:
        date = datetime.fromisoformat(reading.date or SOME_DATE)
        good = date.tzinfo is not None and 1970 <= date.astimezone(UTC).year <= 2200
    except (ValueError, OverflowError):
        good = False
    return "" if good else "a date that is no plausible ISO 8601 with offset"


def _with_second_chance(job: Callable[[], Result]) -> Result:
    """Repeat a job once when the zygote died under it: that is nobody's fault."""
    for _ in range(2):
        try:
            return job()
        except ZygoteDied:
            continue
    raise JailBroken("The confined process died twice in a row.")


def _pieces(frames: Iterator[Any]) -> Iterator[tuple[int, Iterator[bytes]]]:
    """Split `piece, R, R, piece, R …` into (index, its R frames); stray frames belong to nobody."""
    ahead: list[wire.PieceFrame] = []

    def raw() -> Iterator[bytes]:
        for frame in frames:
            if isinstance(frame, wire.PieceFrame):
                ahead.append(frame)
                return
            if isinstance(frame, bytes):
                yield frame

    while True:
        if not ahead:
            for _ in raw():  # what the caller left unread
                pass
        if not ahead:
            return
        yield ahead.pop().index, raw()


def _reading_limits(size: int) -> Limits:
    mib = (size >> 20) + 1
    wall = READ_WALL + READ_WALL_PER_MIB * mib
    return Limits(cpu=wall // 1000, memory=(READ_MEMORY + 4 * mib) << 20, wall=wall)


@contextmanager
def memory_file(pieces: Iterable[bytes]) -> Generator[int]:
    """A sealed memory file with the content → its descriptor; nobody can change it afterwards, not even we."""
    try:
        descriptor = os.memfd_create("mail", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except OSError as error:
        raise JailBroken(f"There is no memory file for the mail: {error}") from error
    try:
        for piece in pieces:
            view = memoryview(piece)
            while view:
                view = view[os.write(descriptor, view) :]
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        yield descriptor
    finally:
        os.close(descriptor)
