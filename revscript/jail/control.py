"""The fixed records on the zygote's control socket; both sides use them."""

from __future__ import annotations

import enum
import struct

REQUEST = struct.Struct("=QIIII")  # job, CPU s, memory MiB, wall ms, 1 when a memory file with the mail follows
REPLY = struct.Struct("=BQQQQQ")  # event, job, pid, wait status, CPU µs, peak memory KiB


class Event(enum.IntEnum):
    """What the zygote tells."""

    READY = 0
    STARTED = 1  # comes with the child's pidfd
    EXITED = 2
