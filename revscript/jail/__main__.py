"""The zygote: `python -I -m revscript.jail FD`. Single-threaded, it forks one child per job and reaps it.

Control socket (FD, SOCK_SEQPACKET): in comes one `REQUEST` and the child's descriptor; out go `STARTED` with a pidfd
and, when the child has ended, `EXITED`. End of file: the host is gone, so are we (a death signal would hang on the
host's *thread* that started us).

SECURITY: parses nothing foreign. Mail, script and effects pass between host and child on the child's own channel.
"""

from __future__ import annotations

import gc
import os
import select
import socket
import sys

from revscript.jail import child, confine
from revscript.jail.control import REPLY, REQUEST, Event


def main(descriptor: int) -> None:
    """Serve until the host closes the control socket."""
    control = socket.socket(fileno=descriptor)
    child.warm_up()
    own_memory = confine.own_memory()
    confine.drop_privileges()
    gc.collect()
    gc.freeze()  # else the first collection of each child would copy all pages
    gc.disable()  # a child enables it again
    control.send(REPLY.pack(Event.READY, 0, os.getpid(), 0, 0, 0))
    children: dict[int, tuple[int, int]] = {}
    poll = select.poll()
    poll.register(control, select.POLLIN)
    while True:
        for ready, _ in poll.poll():
            if ready == control.fileno():
                started = _start(control, own_memory)
                if started is None:
                    return
                job, pid, pidfd = started
                children[pidfd] = (job, pid)
                poll.register(pidfd, select.POLLIN)
            else:
                poll.unregister(ready)
                os.close(ready)
                _reap(control, *children.pop(ready))


def _start(control: socket.socket, own_memory: int) -> tuple[int, int, int] | None:
    message, descriptors, _, _ = socket.recv_fds(control, REQUEST.size, 1)
    if not message:
        return None
    job, cpu, memory_mib, wall, with_mail = REQUEST.unpack(message)
    limits = confine.Limits(cpu, memory_mib << 20, wall)
    pid = os.fork()
    if pid == 0:
        try:
            child.run(descriptors[0], limits, own_memory, bool(with_mail))
        finally:
            os._exit(70)
    os.close(descriptors[0])
    pidfd = os.pidfd_open(pid)  # before it can be reaped: the number cannot have been used again
    socket.send_fds(control, [REPLY.pack(Event.STARTED, job, pid, 0, 0, 0)], [pidfd])
    return job, pid, pidfd


def _reap(control: socket.socket, job: int, pid: int) -> None:
    _, status, usage = os.wait4(pid, 0)
    cpu_us = int((usage.ru_utime + usage.ru_stime) * 1_000_000)
    control.send(REPLY.pack(Event.EXITED, job, pid, status, cpu_us, usage.ru_maxrss))


if __name__ == "__main__":
    main(int(sys.argv[1]))
