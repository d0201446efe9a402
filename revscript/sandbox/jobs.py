"""What the jail is asked to do: read a mail, extract attachments, check a script, run a script."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from revscript.errors import JailBroken
from revscript.jail import wire
from revscript.jail.confine import Limits
from revscript.jail.effects import Effect
from revscript.jail.plain import to_plain
from revscript.jail.questions import Question
from revscript.jail.reading.model import MAX_PARTS, Reading
from revscript.model import Asked, Trouble, sha256_hex
from revscript.sandbox.checked import Checked, Compiled, Kept, checked
from revscript.sandbox.conversation import Allowance, Conversation, JobEnd
from revscript.sandbox.linking import FileProblem, link
from revscript.sandbox.memory_file import memory_file
from revscript.sandbox.readings import flaw, pieces, reading_limits
from revscript.sandbox.zygote import Zygote, ZygoteDied
from revscript.snapshot import Script

EXTRACT_ROOM = 1 << 16  # bytes of frames beside the attachments themselves
SMALL_FILES = 256 << 10  # bytes of attachments that come along with the Reading

_SCRIPT = Allowance(
    (wire.EffectFrame, wire.LogFrame, wire.AskFrame, wire.TableFrame), wire.MAX_SCRIPT_BYTES, wire.MAX_SCRIPT_FRAMES
)
_COMPILE = Allowance((wire.OutlineFrame, bytes), wire.MAX_RAW_FRAME + wire.MAX_OUTLINE, 3)
_TABLE = Allowance(())
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
class _Ready:
    """A script's byte codes, its own and those of its libraries by name, or why there are none."""

    codes: tuple[bytes, ...] = ()
    libraries: tuple[str, ...] = ()
    refused: JobEnd | None = None


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
        self._codes = Kept()

    def start(self) -> None:
        """Start the zygote now rather than with the first job."""
        self._stopped = False
        self._living()

    def limit(self, script: Limits) -> None:
        """Other limits for the scripts that are run from now on."""
        self._script_limits = script

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
        self, script: Script, reading: Reading, context: wire.RunContext, answer: Callable[[Question], Any]
    ) -> ScriptRun:
        """Run `onEMail`; `answer` gives plain data for each question. Raises JailBroken, and what it raises."""
        ready = self._ready(script)
        if ready.refused:
            return ScriptRun(end=ready.refused)
        job = wire.ScriptJob(context=context, reading=reading, libraries=ready.libraries, tables=tuple(script.tables))
        plain = to_plain(job)
        return _with_second_chance(lambda: self._run_script(plain, ready.codes, script.tables, answer))

    def _ready(self, script: Script) -> _Ready:
        main = self._compiled(script.text)
        if main.code is None:
            return _Ready(refused=main.end)
        if main.outline.entry:
            return _Ready(refused=JobEnd("refused", (main.outline.entry,), cpu_ms=main.end.cpu_ms))
        if not main.outline.imports:
            return _Ready((main.code,))
        found = checked(main, library=False)
        linked = link(script.name, found, script.libraries, lambda text: self.check_script(text, library=True))
        if linked.problems:
            return _Ready(refused=JobEnd("refused", tuple(_of_set(script.name, one) for one in linked.problems[:50])))
        compiled = {name: self._compiled(script.libraries[name]) for name in linked.libraries}
        codes = {name: one.code for name, one in compiled.items() if one.code is not None}
        return _Ready((main.code, *codes.values()), tuple(codes))

    def _run_script(
        self,
        job: dict[str, Any],
        codes: Iterable[bytes],
        tables: Mapping[str, str],
        answer: Callable[[Question], Any],
    ) -> ScriptRun:
        run, left = ScriptRun(), dict(tables)
        with self._talk(self._script_limits, _SCRIPT) as talk:
            talk.send(job, codes)
            for frame in talk.frames():
                match frame:
                    case wire.EffectFrame():
                        run.effects.append(frame.effect)
                    case wire.AskFrame():
                        given = answer(frame.question)
                        run.asked.append(Asked(to_plain(frame.question), given))
                        talk.send({"answer": given})
                    case wire.TableFrame():
                        text = left.pop(frame.file, None)  # once each: else it could have terabytes
                        if text is None:
                            talk.refuse("a table that is not in the set, or once more")
                        else:
                            talk.send_raw(text.encode())
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

    def check_script(self, text: str, *, library: bool = False) -> Checked:
        """What the policy refuses in a script, or in a library (which needs no `onEMail`), and what it is made of.

        Whether its libraries are there and have what it wants, `sandbox.sets.assemble` tells. Raises JailBroken.
        """
        return checked(self._compiled(text), library=library)

    def check_table(self, file: str, text: str) -> tuple[wire.ScriptProblem, ...]:
        """What is wrong with a table of the administrators; the file's name says whether it is CSV or JSON."""
        suffix = file.rpartition(".")[2]
        key = f"{suffix}:{sha256_hex(text)}"
        return checked(self._codes.get(key, lambda: self._look_at_table(file, text)), library=True).problems

    def _look_at_table(self, file: str, text: str) -> Compiled:
        def look() -> JobEnd:
            with self._talk(self._script_limits, _TABLE) as talk:
                talk.send(to_plain(wire.TableJob(file=file, text=text)))
                list(talk.frames())
                return talk.finish()

        return Compiled(_with_second_chance(look), wire.OutlineFrame())

    def _compiled(self, text: str) -> Compiled:
        """Compile in a child, once per text. The byte code stays opaque here; only children load it."""
        return self._codes.get(sha256_hex(text), lambda: _with_second_chance(lambda: self._compile(text)))

    def _compile(self, text: str) -> Compiled:
        with self._talk(self._script_limits, _COMPILE) as talk:
            talk.send(to_plain(wire.CompileJob(source=text)))
            sent = list(talk.frames())
            end = talk.finish()
        match sent:
            case [wire.OutlineFrame() as outline, bytes() as code] if end.kind == "done":
                return Compiled(end, outline, code)
            case [wire.OutlineFrame() as outline] if end.kind == "refused" and end.problems:
                return Compiled(end, outline)
            case _ if end.kind in ("done", "refused"):
                trouble = Trouble("protocol", "compiling ended without byte code, or without an outline")
                return Compiled(JobEnd("protocol", trouble=trouble), wire.OutlineFrame())
            case _:
                return Compiled(end, wire.OutlineFrame())

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
        with self._talk(reading_limits(size), _READ, file) as talk:
            talk.send(to_plain(job))
            frames = talk.frames()
            first = next(frames, None)
            if isinstance(first, wire.ReadingFrame):
                reading = first.reading
            for index, content in pieces(frames):
                files[index] = b"".join(content)
            end = talk.finish()
        if end.kind != "done" or reading is None:
            raise ReaderDied(end)
        if wrong := flaw(reading):
            raise ReaderDied(JobEnd("protocol", trouble=Trouble("protocol", wrong), cpu_ms=end.cpu_ms))
        return reading, files

    def extract(self, mail: Iterable[bytes], size: int, indexes: tuple[int, ...], take: Take) -> None:
        """Bring out attachments: `take(index, pieces)` for each of `indexes`; ReaderDied when that fails."""
        with memory_file(mail) as file:
            _with_second_chance(lambda: self._extract(file, size, indexes, take))

    def _extract(self, file: int, size: int, indexes: tuple[int, ...], take: Take) -> None:
        missing = set(indexes)
        max_frames = 2 + 2 * len(indexes) + size // 1024
        allowance = Allowance((wire.PieceFrame, bytes), size + EXTRACT_ROOM, max_frames)
        with self._talk(reading_limits(size), allowance, file) as talk:
            talk.send(to_plain(wire.ExtractJob(indexes=indexes)))
            for index, content in pieces(talk.frames()):
                if index in missing:
                    missing.remove(index)
                    take(index, content)
            end = talk.finish()
        if end.kind != "done" or missing:
            raise ReaderDied(end)


def _of_set(main: str, problem: FileProblem) -> wire.ScriptProblem:
    """A problem of a script's set as one of the script; of another file it says which, and has no line."""
    if problem.file == main:
        return wire.ScriptProblem(line=problem.line, column=problem.column, text=problem.text)
    return wire.ScriptProblem(line=None, column=None, text=str(problem)[:1000])


def _with_second_chance(job: Callable[[], Result]) -> Result:
    """Repeat a job once when the zygote died under it: that is nobody's fault."""
    for _ in range(2):
        try:
            return job()
        except ZygoteDied:
            continue
    raise JailBroken("The confined process died twice in a row.")
