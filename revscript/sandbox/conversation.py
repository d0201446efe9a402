"""One job of one child: its frames, checked, until its end.

SECURITY: the child may be fully compromised. A frame's length is checked before it is read, its JSON goes through
pydantic (strict) against `jail.wire`, frames and bytes are counted, only the kinds of frame that the job may send are
accepted, nothing after the end. Anything else kills the child and is a `protocol` end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from revscript.errors import JailBroken
from revscript.jail import wire
from revscript.jail.confine import Limits
from revscript.model import Trouble
from revscript.sandbox.zygote import Zygote

GRACE = 0.3  # s between a child's own deadline and the host's SIGKILL
SEND_TIMEOUT = 5.0  # s for giving a job or an answer to a child

EndKind = Literal["done", "refused", "failed", "time", "cpu", "memory", "cap", "crash", "protocol"]

_child_frame: TypeAdapter[Any] = TypeAdapter(wire.ChildFrame)

# How a child ended that could not say so itself (sandbox.md §4, §9).
_EXIT_CODES: dict[int, tuple[EndKind, str]] = {
    wire.EXIT_TIME: ("time", "the time limit was reached"),
    wire.EXIT_CPU: ("cpu", "the CPU limit was reached"),
    wire.EXIT_CAP: ("cap", "too much output"),
    wire.EXIT_MEMORY: ("memory", "the memory limit was reached"),
    -signal.SIGXCPU: ("cpu", "the CPU limit was reached"),
    -signal.SIGSEGV: ("crash", "the interpreter crashed (too deeply nested data?)"),
    -signal.SIGABRT: ("memory", "the memory limit was reached in a library"),
    -signal.SIGSYS: ("protocol", "a forbidden system call"),
}


@dataclass(frozen=True, slots=True)
class JobEnd:
    """How a child ended."""

    kind: EndKind
    problems: tuple[wire.ScriptProblem, ...] = ()
    trouble: Trouble | None = None
    cpu_ms: int = 0


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a job may send: kinds of frame (`bytes` for R frames), bytes and frames in all."""

    frames: tuple[type[Any], ...]
    max_bytes: int = wire.MAX_JSON_FRAME
    max_frames: int = 2


class _Bad(Exception):
    """The child broke the protocol."""


class Conversation:
    """Talks with a freshly forked child. `mail`: descriptor of a sealed memory file for it."""

    def __init__(self, zygote: Zygote, limits: Limits, allowance: Allowance, mail: int | None) -> None:
        self._zygote = zygote
        self._allowance = allowance
        self._left_bytes, self._left_frames = allowance.max_bytes, allowance.max_frames
        self._buffer = bytearray()
        self._end: wire.EndFrame | None = None
        self._killed: tuple[EndKind, str] | None = None
        self._job, self._channel, self._pidfd = zygote.start(limits, with_mail=mail is not None)
        self._deadline = time.monotonic() + limits.wall / 1000 + GRACE
        if mail is not None:
            with contextlib.suppress(OSError):  # dead already: its exit status tells
                socket.send_fds(self._channel, [b"m"], [mail])

    def send(self, message: dict[str, Any], raws: Iterable[bytes] = ()) -> None:
        """Give the job (with the raw frames that belong to it), or an answer."""
        self._give(b"".join([wire.pack_json(message), *(wire.head(wire.RAW_FRAME, raw) + raw for raw in raws)]))

    def send_raw(self, raw: bytes) -> None:
        """Give a raw frame as an answer."""
        self._give(wire.head(wire.RAW_FRAME, raw) + raw)

    def refuse(self, why: str) -> None:
        """End the child: it asked for something that it may not have."""
        self._kill("protocol", why)

    def _give(self, packed: bytes) -> None:
        """One that does not take it is killed."""
        self._channel.settimeout(min(SEND_TIMEOUT, max(self._deadline - time.monotonic(), 0.01)))
        try:
            self._channel.sendall(packed)
        except TimeoutError:
            self._kill("time", "the time limit was reached while the child took nothing from the host")
        except OSError:
            pass  # dead: its exit status tells

    def frames(self) -> Iterator[Any]:
        """Frames as objects of `jail.wire`, R frames as bytes, up to the end, which is not among them."""
        try:
            while self._end is None:
                if self._killed:
                    return
                frame = self._frame()
                if isinstance(frame, wire.EndFrame):
                    self._end = frame
                elif isinstance(frame, self._allowance.frames):
                    yield frame
                else:
                    raise _Bad(f"a {type(frame).__name__} in a job that sends none")
            if self._buffer or self._receive():
                raise _Bad("data after the end")
        except _Bad as error:
            self._kill("protocol", str(error))
        except TimeoutError:
            self._kill("time", "the time limit was reached inside a built-in function")
        except (EOFError, OSError):
            pass  # its exit status tells

    def _frame(self) -> Any:
        self._fill(wire.HEAD.size)
        length, kind = wire.HEAD.unpack_from(self._buffer)
        if length > {wire.JSON_FRAME: wire.MAX_JSON_FRAME, wire.RAW_FRAME: wire.MAX_RAW_FRAME}.get(kind, -1):
            raise _Bad(f"a frame of kind {kind} and {length} bytes")
        self._left_bytes -= length
        self._left_frames -= 1
        if self._left_bytes < 0 or self._left_frames < 0:
            raise _Bad("more output than the job may have")
        self._fill(wire.HEAD.size + length)
        body = bytes(self._buffer[wire.HEAD.size : wire.HEAD.size + length])
        del self._buffer[: wire.HEAD.size + length]
        return body if kind == wire.RAW_FRAME else _parse(body)

    def _fill(self, count: int) -> None:
        while len(self._buffer) < count:
            part = self._receive()
            if not part:
                raise EOFError
            self._buffer += part

    def _receive(self) -> bytes:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._channel.settimeout(left)
        return self._channel.recv(1 << 16)

    def _kill(self, kind: EndKind, why: str) -> None:
        self._killed = (kind, why)
        self._send_kill()

    def _send_kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def finish(self) -> JobEnd:
        """How it ended; to be asked when `frames` is through. JailBroken when the confinement failed."""
        self._send_kill()  # one that has ended is not impressed: its status stands
        status, cpu_us = self._zygote.exit_of(self._job)
        return self._judge(os.waitstatus_to_exitcode(status), cpu_us // 1000)

    def _judge(self, code: int, cpu_ms: int) -> JobEnd:
        if self._killed is None and self._end is not None:
            if self._end.kind == "jail":
                text = self._end.trouble.text if self._end.trouble else "no reason given"
                raise JailBroken(f"The confined process could not be confined: {text}")
            return JobEnd(self._end.kind, self._end.problems, _trouble(self._end.trouble), cpu_ms)
        kind, text = self._killed or _EXIT_CODES.get(code) or ("crash", f"the process died (status {code})")
        return JobEnd(kind, trouble=Trouble(kind, text), cpu_ms=cpu_ms)

    def dispose(self) -> None:
        """Let go; kills the child when it is still there."""
        self._send_kill()
        self._channel.close()
        os.close(self._pidfd)


def _parse(body: bytes) -> Any:
    try:
        return _child_frame.validate_json(body, strict=True)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        text = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
        raise _Bad(ascii(text)[1:-1][:500]) from None  # names of keys are the child's words
    except RecursionError:
        raise _Bad("data nested too deeply") from None


def _trouble(trouble: wire.ScriptTrouble | None) -> Trouble | None:
    if trouble is None:
        return None
    return Trouble(trouble.type, trouble.text, tuple((frame.line, frame.function) for frame in trouble.frames))
