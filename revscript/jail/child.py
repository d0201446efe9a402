"""The child: confine itself → take the job → read, extract, compile or run → answer → die.

SECURITY: this process meets foreign bytes and may be fully compromised by them. It is forked for one job, holds
one descriptor, and leaves by `_exit`: no finalizer runs. Deadlines and caps are handlers that report and leave, never
exceptions, so that no script can catch them (sandbox.md §4).
"""

from __future__ import annotations

import functools
import gc
import io
import json
import marshal
import mmap
import os
import signal
import socket
import sys
from collections.abc import Iterable
from types import FrameType
from typing import Any, BinaryIO

from revscript.jail import confine, wire
from revscript.jail.confine import CHANNEL, Limits
from revscript.jail.effects import Effect
from revscript.jail.plain import from_plain, to_plain
from revscript.jail.questions import Question
from revscript.jail.reading import read
from revscript.jail.scripting import golden, policy, table_files, texts
from revscript.jail.scripting import run as scripting

_RECURSION_ROOM = 200  # frames for a handler that was called at the recursion limit


class Channel:
    """Frames to and from the host, and the caps on what a script may send."""

    def __init__(self) -> None:
        self.busy = False
        self.late: tuple[str, str, tuple[wire.Frame, ...]] | None = None
        self._calls = self._effects = self._bytes = self._lines = self._log_bytes = 0

    def send(self, frame: dict[str, Any]) -> int:
        """Send one JSON frame → its size; a deadline that falls into it waits for its end."""
        packed = wire.pack_json(frame)
        self.write(packed)
        return len(packed)

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self.busy = True
        view = memoryview(data)
        while view:
            view = view[os.write(CHANNEL, view) :]
        self.busy = False
        if self.late:
            leave(*self.late)

    def receive(self) -> dict[str, Any]:
        """Wait for one JSON frame of the host."""
        return json.loads(self.receive_raw())

    def receive_raw(self) -> bytes:
        """Wait for one frame of the host → its body."""
        length, _ = wire.HEAD.unpack(self._exactly(wire.HEAD.size))
        return self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        parts: list[bytes] = []
        while count:
            part = os.read(CHANNEL, min(count, 1 << 16))
            if not part:
                os._exit(1)  # the host is gone
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    # ------------------------------------------------------------ scripting.Session

    def emit(self, effect: Effect) -> int:
        """Send a wish → its number in this run."""
        self._count_call()
        self._bytes += self.send({"t": "effect", "effect": to_plain(effect)})
        if self._bytes > wire.MAX_EFFECT_BYTES:
            cap(f"the script's effects are larger than {wire.MAX_EFFECT_BYTES >> 20} MiB")
        self._effects += 1
        return self._effects - 1

    def ask(self, question: Question) -> Any:
        """Ask and wait."""
        self._count_call()
        self.send({"t": "ask", "question": to_plain(question)})
        return self.receive()["answer"]

    def table(self, file: str) -> str:
        """Ask for a table of the script's set, once each."""
        self.send({"t": "table", "file": file})
        return self.receive_raw().decode()

    def log(self, text: str) -> None:
        """A line of protocol; what is too much is dropped, and said to be."""
        if self._lines > wire.MAX_LOG_LINES or self._log_bytes > wire.MAX_LOG_BYTES:
            return
        self._lines += 1
        text = text[: wire.MAX_LOG_BYTES - self._log_bytes]
        self._log_bytes += len(text) + 1
        full = self._lines > wire.MAX_LOG_LINES or self._log_bytes > wire.MAX_LOG_BYTES
        self.send({"t": "log", "text": "… further log lines dropped" if full else text})

    def _count_call(self) -> None:
        self._calls += 1
        if self._calls > wire.MAX_EFFECTS:
            cap(f"the script made more than {wire.MAX_EFFECTS} effects and questions")


_channel = Channel()


def warm_up() -> None:
    """Load everything that is loaded lazily: later there may be no files any more."""
    read.warm_up()
    scripting.warm_up()
    job = wire.ScriptJob(context=golden.CONTEXT, reading=golden.READING)
    from_plain(wire.ScriptJob, json.loads(wire.pack_json(to_plain(job))[wire.HEAD.size :]))
    marshal.loads(marshal.dumps(policy.compile_script(golden.SCRIPT)))


# ---------------------------------------------------------------- leaving


def end(kind: str, **more: Any) -> None:
    """Send the last frame and leave."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    _channel.late = None
    _channel.send({"t": "end", "kind": kind, **more})
    os._exit(0)


def leave(kind: str, text: str, frames: tuple[wire.Frame, ...]) -> None:
    """A limit was reached: report with the script's own lines, or at least by the exit code."""
    code = {"time": wire.EXIT_TIME, "cpu": wire.EXIT_CPU, "memory": wire.EXIT_MEMORY}.get(kind, wire.EXIT_CAP)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.setrecursionlimit(sys.getrecursionlimit() + _RECURSION_ROOM)
        confine.lift_memory_limit()
        trouble = wire.ScriptTrouble(type="Limit", text=text, frames=frames)
        end(kind, trouble=to_plain(trouble))
    finally:
        os._exit(code)


def cap(text: str) -> None:
    """Too much output: leave."""
    leave("cap", text, scripting.where(sys._getframe(1)))


def _on_deadline(kind: str, text: str, frame: FrameType | None) -> None:
    frames = scripting.where(frame)
    if _channel.busy:  # never cut a frame in two
        _channel.late = (kind, text, frames)
        return
    leave(kind, text, frames)


# ---------------------------------------------------------------- one job


def run(descriptor: int, limits: Limits, own_memory: int, with_mail: bool) -> None:
    """The child's whole life. `descriptor` is its channel; a memory file with the mail may come on it first."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, lambda _, frame: _on_deadline("time", "the time limit was reached", frame))
    signal.signal(signal.SIGXCPU, lambda _, frame: _on_deadline("cpu", "the CPU limit was reached", frame))
    mail: mmap.mmap | None = None
    try:
        if descriptor != CHANNEL:
            os.dup2(descriptor, CHANNEL, inheritable=False)
        # First of all let go of the zygote's control socket: as long as a child holds it, the host does not see that
        # the zygote has died.
        confine.close_all_above(CHANNEL)
        confine.die_with_parent()
        if with_mail:
            mail = _map_mail()
            confine.close_all_above(CHANNEL)
        confine.limit_resources(limits, own_memory)
    except (OSError, ValueError) as error:
        trouble = wire.ScriptTrouble(type=type(error).__name__, text=str(error)[:500])
        end("jail", trouble=to_plain(trouble))
    gc.enable()
    job = _channel.receive()
    signal.setitimer(signal.ITIMER_REAL, limits.wall / 1000)
    try:
        _JOBS[job["job"]](job, mail)
    except MemoryError:
        gc.collect()
        leave("memory", "the memory limit was reached", ())
    end("done")


def _map_mail() -> mmap.mmap | None:
    """Take the sealed memory file from the channel and map it; mapping needs no descriptor afterwards."""
    with socket.socket(fileno=os.dup(CHANNEL)) as channel:
        _, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
    size = os.fstat(descriptors[0]).st_size
    return mmap.mmap(descriptors[0], size, prot=mmap.PROT_READ) if size else None


class _Mapped(io.RawIOBase):
    """Reads the map without touching its descriptor, and never closes it (both are forbidden calls later)."""

    def __init__(self, mapped: mmap.mmap) -> None:
        self._mapped, self._position = mapped, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._mapped)}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        piece = self._mapped[self._position : self._position + len(buffer)]
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)


def _open(mail: mmap.mmap | None) -> BinaryIO:
    return io.BufferedReader(_Mapped(mail), 1 << 16) if mail else io.BytesIO()


def _read(job: dict[str, Any], mail: mmap.mmap | None) -> None:
    source = _open(mail)
    if job["headers_only"]:
        reading, files = read.read_head(source), {}
    else:
        reading, files = read.read_with_files(source, len(mail or b""), job["files"])
    _channel.send({"t": "reading", "reading": to_plain(reading)})
    for index, content in files.items():
        _send_file(index, [content])


def _extract(job: dict[str, Any], mail: mmap.mmap | None) -> None:
    for index, pieces in read.extract(_open(mail), job["indexes"]):
        _send_file(index, pieces)


def _send_file(index: int, pieces: Iterable[bytes]) -> None:
    _channel.send({"t": "piece", "index": index})
    for piece in pieces:
        _channel.write(wire.head(wire.RAW_FRAME, piece) + piece)


def _compile(job: dict[str, Any], _mail: mmap.mmap | None) -> None:
    found = policy.examine(job["source"])
    _channel.send(to_plain(found.outline))
    if found.code is None:
        end("refused", problems=to_plain(found.problems))
    code = marshal.dumps(found.code)
    _channel.write(wire.head(wire.RAW_FRAME, code) + code)


def _table(job: dict[str, Any], _mail: mmap.mmap | None) -> None:
    try:
        table_files.parse(job["file"], job["text"])
    except table_files.BadTable as bad:
        text = texts.cut(texts.block(bad.text), 1000)
        column = bad.line and (bad.column or 1)
        end("refused", problems=[to_plain(wire.ScriptProblem(line=bad.line, column=column, text=text))])


def _script(job: dict[str, Any], _mail: mmap.mmap | None) -> None:
    # Jailed children made them of these very texts.
    code = marshal.loads(_channel.receive_raw())
    codes = {name: functools.partial(marshal.loads, _channel.receive_raw()) for name in job["libraries"]}
    parsed = from_plain(wire.ScriptJob, job)
    try:
        scripting.run_script(code, parsed.reading, parsed.context, _channel, codes, parsed.tables)
    except MemoryError as error:
        trouble = scripting.describe(error)
        del parsed
        leave("memory", "the memory limit was reached", trouble.frames)
    except BaseException as error:  # noqa: BLE001 - whatever a script raises, even what is no Exception
        end("failed", trouble=to_plain(scripting.describe(error)))


_JOBS = {"script": _script, "compile": _compile, "table": _table, "read": _read, "extract": _extract}
