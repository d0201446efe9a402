"""Children that send whatever they are told: what a compromised one could do, as real processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from revscript.jail import wire
from revscript.jail.confine import Limits
from revscript.sandbox import Sandbox

LIMITS = Limits(cpu=1, memory=1 << 20, wall=300)
EXITS = "exec cat"
STAYS = "cat; exec sleep 60"


class Liars:
    """In the zygote's place: each of its children says `says`, then does what `then` says (a line of shell)."""

    alive = True
    pid = 0

    def __init__(self, says: bytes, then: str) -> None:
        self._says = says
        self._then = then
        self._children: list[subprocess.Popen[bytes]] = []

    def start(self, limits: Limits, *, with_mail: bool) -> tuple[int, socket.socket, int]:
        """Like `Zygote.start`."""
        ours, theirs = socket.socketpair()
        with theirs, tempfile.TemporaryFile() as said:
            said.write(self._says)
            said.seek(0)
            child = subprocess.Popen(
                ["sh", "-c", self._then], stdin=said, stdout=theirs.fileno(), stderr=subprocess.DEVNULL
            )
        self._children.append(child)
        return len(self._children) - 1, ours, os.pidfd_open(child.pid)

    def exit_of(self, job: int) -> tuple[int, int]:
        """Like `Zygote.exit_of`."""
        child = self._children[job]
        _, status, _ = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        return status, 0

    def close(self) -> None:
        """Like `Zygote.close`."""
        for child in self._children:
            child.kill()
            child.wait()


@contextmanager
def lying(*says: bytes, then: str = EXITS) -> Generator[Sandbox]:
    """A jail whose children lie."""
    sandbox = Sandbox(LIMITS, children=1)
    liars: Any = Liars(b"".join(says), then)
    sandbox._zygote = liars
    yield sandbox
    sandbox.stop()


def frame(t: str, **fields: Any) -> bytes:
    """A JSON frame; NaN as Python writes it."""
    return json_frame(json.dumps({"t": t, **fields}))


def json_frame(body: str | bytes) -> bytes:
    """A JSON frame with any body."""
    data = body.encode() if isinstance(body, str) else body
    return wire.head(wire.JSON_FRAME, data) + data


def raw_frame(data: bytes) -> bytes:
    """A raw frame."""
    return wire.head(wire.RAW_FRAME, data) + data


def label(text: str = "x") -> bytes:
    """An honest wish."""
    return frame("effect", effect={"effect": "label_mail", "text": text})


LOG = frame("log", text="x")
ASK = frame("ask", question={"question": "running_missions"})
READING = frame("reading", reading={})
PIECE = frame("piece", index=0)
END = frame("end", kind="done")
