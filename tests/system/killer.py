"""A host that kills itself at a chosen instant: `python -m tests.system.killer INSTANCE TRACE [EVENT:NUMBER]`.

Every event of the host's log and every insert of a row goes to TRACE (a JSON object a line) before the host goes on; at
the NUMBER-th EVENT of this life it is the last thing that happens. Without one, it lives until its input ends.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Engine, event
from structlog.typing import EventDict, WrappedLogger

from revscript.host import Host, locked
from revscript.snapshot import Instance

_INSERT = re.compile(r"INSERT (?:OR \w+ )?INTO (\w+)")


class Trace:
    """Writes events to a file and kills this process at one of them."""

    def __init__(self, path: Path, event: str, number: int) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        self._event, self._left = event, number
        self._lock = threading.Lock()

    def note(self, name: str, **more: Any) -> None:
        """Write an event down; nothing is written after the deadly one."""
        line = json.dumps({"at": round(time.time(), 3), "event": name, **more}, default=str).encode() + b"\n"
        with self._lock:
            os.write(self._file, line)
            if name == self._event:
                self._left -= 1
                if self._left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

    def logged(self, _logger: WrappedLogger, _method: str, what: EventDict) -> EventDict:
        """A processor of structlog."""
        self.note(what.pop("event"), **what)
        raise structlog.DropEvent

    def inserting(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        """A listener of SQLAlchemy, called inside the transaction, before the row is written."""
        if found := _INSERT.match(statement):
            self.note(f"insert {found[1]}")


def main(instance: str, trace: str, kill_at: str = ":0") -> None:
    """Live until killed, or until the input ends."""
    name, _, number = kill_at.rpartition(":")
    tracing = Trace(Path(trace), name, int(number))
    structlog.configure(
        processors=[structlog.processors.format_exc_info, tracing.logged],
        wrapper_class=structlog.make_filtering_bound_logger("debug"),
    )
    event.listen(Engine, "before_cursor_execute", tracing.inserting)
    where = Instance(Path(instance))
    with locked(where):
        host = Host(where)
        host.start()
        sys.stdin.read()
        host.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
