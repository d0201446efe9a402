"""A host whose wall clock and connections tests can meddle with: `python -m tests.system.live INSTANCE`.

The wall clock is off by the seconds in INSTANCE/clock-offset. SIGUSR1 closes all connections to the database, as it
happens by itself after a disk error. It lives until its input ends.
"""

from __future__ import annotations

import signal
import sys
from datetime import datetime, timedelta
from pathlib import Path
from types import FrameType

from revscript import logs
from revscript.host import Host, locked
from revscript.model import wall_clock
from revscript.snapshot import Instance

OFFSET = "clock-offset"


def main(root: str) -> None:
    """Live until the input ends."""
    offset = Path(root) / OFFSET

    def clock() -> datetime:
        return wall_clock() + timedelta(seconds=float(offset.read_text() or 0))

    logs.configure("info")
    where = Instance(Path(root))
    with locked(where):
        host = Host(where, clock)

        def close(_signal: int, _frame: FrameType | None) -> None:
            host.stores.database.close()

        signal.signal(signal.SIGUSR1, close)
        host.start()
        print("started", flush=True)
        sys.stdin.read()
        host.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
