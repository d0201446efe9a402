"""Taking a process's rights away: resource limits, no new privileges, no descriptors, a uid of nobody.

SECURITY: this is the wall around everything that reads foreign bytes. It does not yet close the kernel's interfaces
(seccomp), the file system (Landlock, namespaces) or the network: `LAYERS` names what is on, and nothing more is
claimed. A layer that cannot be put on raises OSError, and the child leaves without having read anything.
"""

from __future__ import annotations

import ctypes
import os
import resource
from dataclasses import dataclass

LAYERS = ("rlimits", "no_new_privs", "descriptors", "uid")
UID = 61183  # of no account; siblings never share a process (sandbox.md §2)
CHANNEL = 3  # the only descriptor beside 0-2 (/dev/null) that a child keeps
REPORT_ROOM = 16 << 20  # bytes of address space kept back for reporting that the memory limit was reached

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _PR_CAPBSET_DROP = 1, 4, 38, 24
_CLOSE_RANGE = 436  # the same number on x86_64 and aarch64

_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4


@dataclass(frozen=True, slots=True)
class Limits:
    """What one job may use: CPU seconds, bytes of memory beside the interpreter's own, milliseconds of wall clock."""

    cpu: int
    memory: int
    wall: int


def _checked(result: int) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _prctl(option: int, value: int) -> None:
    _checked(_libc.prctl(option, value, 0, 0, 0))


def die_with_parent() -> None:
    """SIGKILL when the parent dies; the kernel forgets it at each change of uid, so call it again after one."""
    _prctl(_PR_SET_PDEATHSIG, 9)


def drop_privileges() -> None:
    """Leave root for `UID` for good (bounding set first, while it may be changed); a no-op for ordinary users."""
    if os.geteuid() == 0:
        for capability in range(64):
            if _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) < 0:
                break
        os.setgroups([])
        os.setresgid(UID, UID, UID)
        os.setresuid(UID, UID, UID)
    _prctl(_PR_SET_DUMPABLE, 0)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def own_memory() -> int:
    """Bytes of address space that this process uses now; read once, before /proc is out of reach."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def close_all_above(descriptor: int) -> None:
    """Close every descriptor above this one."""
    arguments = (ctypes.c_uint(descriptor + 1), ctypes.c_uint(0xFFFFFFFF), ctypes.c_uint(0))
    _checked(_libc.syscall(ctypes.c_long(_CLOSE_RANGE), *arguments))


def limit_resources(limits: Limits, own: int) -> None:
    """Put the resource limits on; `own` is the interpreter's own share of memory (`own_memory`)."""
    for kind in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_MEMLOCK, resource.RLIMIT_NPROC):
        resource.setrlimit(kind, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (CHANNEL + 1, CHANNEL + 1))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu, limits.cpu + 1))
    memory = own + limits.memory
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory + REPORT_ROOM))


def lift_memory_limit() -> None:
    """Room to report: the soft limit of memory goes up to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
