"""The zygote's process, seen from the host: starts children and learns of their ends."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from typing import Any

from revscript.errors import JailBroken
from revscript.jail.confine import Limits
from revscript.jail.control import REPLY, REQUEST, Event

START_TIMEOUT = 15.0  # s for the zygote's start, and for a child's


class ZygoteDied(Exception):
    """The zygote is gone; the job may be repeated on a new one."""


class Zygote:
    """A running zygote. Any number of threads may start jobs."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-X", "utf8", "-m", "revscript.jail", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            env={"LC_ALL": "C.UTF-8"},
            cwd="/",
            start_new_session=True,
        )
        theirs.close()
        self._control = ours
        self._started: dict[int, int] = {}
        self._exited: dict[int, tuple[int, int]] = {}
        ours.settimeout(START_TIMEOUT)
        try:
            hello = ours.recv(REPLY.size)
        except OSError:
            hello = b""
        if not hello:
            self.close()
            raise JailBroken("The confined process did not start.")
        ours.settimeout(None)
        self.pid = self._process.pid
        self.alive = True
        self._sending = threading.Lock()
        self._news = threading.Condition()
        self._last_job = 0
        threading.Thread(target=self._listen, name="zygote", daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                message, descriptors, _, _ = socket.recv_fds(self._control, REPLY.size, 1)
            except OSError:
                message, descriptors = b"", []
            with self._news:
                if not message:
                    self.alive = False
                    self._news.notify_all()
                    return
                event, job, _pid, status, cpu_us, _peak = REPLY.unpack(message)
                if event == Event.STARTED:
                    self._started[job] = descriptors[0]
                elif event == Event.EXITED:
                    self._exited[job] = (status, cpu_us)
                self._news.notify_all()

    def start(self, limits: Limits, *, with_mail: bool) -> tuple[int, socket.socket, int]:
        """Fork a child → (job, its channel, its pidfd)."""
        ours, theirs = socket.socketpair()
        with theirs, self._sending:
            self._last_job += 1
            job = self._last_job
            request = REQUEST.pack(job, limits.cpu, limits.memory >> 20, limits.wall, int(with_mail))
            try:
                # Never waits: a zygote that does not take a request at once is stopped or hangs.
                socket.send_fds(self._control, [request], [theirs.fileno()], socket.MSG_DONTWAIT)
            except OSError as error:
                ours.close()
                self._give_up()  # the listener may not have noticed yet: the next job must not come here again
                raise ZygoteDied from error
        try:
            return job, ours, self._wait(self._started, job)
        except ZygoteDied:
            ours.close()
            raise

    def exit_of(self, job: int) -> tuple[int, int]:
        """Wait for a child's end → (wait status, CPU µs)."""
        return self._wait(self._exited, job)

    def _wait(self, news: dict[int, Any], job: int) -> Any:
        with self._news:
            self._news.wait_for(lambda: job in news or not self.alive, START_TIMEOUT)
            if job in news:
                return news.pop(job)
        self._give_up()
        raise ZygoteDied

    def _give_up(self) -> None:
        """It is dead, or as good as dead: never ask it again."""
        self.alive = False
        self._process.kill()

    def close(self) -> None:
        """End the zygote; its children die with it."""
        self._control.close()
        self._process.kill()
        self._process.wait()
        for pidfd in self._started.values():  # of children that nobody waits for any more
            os.close(pidfd)
        self._started.clear()
