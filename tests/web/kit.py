"""A port that is open, and somebody who asks."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from revscript.config import Web
from revscript.health import Standing
from revscript.model import Problem
from revscript.web import Probes
from revscript.web.server import Answer
from tests.housekeeping.kit import Sink
from tests.instance import wait_until

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@dataclass
class Host:
    """What the port is told; a test changes it."""

    stalled: Callable[[], Sequence[str]] = list
    problems: list[Standing] = field(default_factory=list[Standing])
    standing: Callable[[], Sequence[Standing]] | None = None
    metrics: Callable[[], Answer] = lambda: Answer.text(200, "numbers\n")
    sink: Sink = field(default_factory=Sink)

    def probes(self) -> Probes:
        return Probes(
            lambda: self.stalled(),
            lambda: (self.standing or (lambda: self.problems))(),
            lambda: self.metrics(),
            self.sink,
            lambda: NOW,
        )


@contextmanager
def opened(host: Host, web: Web | None = None) -> Generator[Probes]:
    """The port, open."""
    probes = host.probes()
    probes.reconfigure(web or Web(port=free_port()))
    probes.start()
    try:
        wait_until(lambda: probes.port is not None, 5, "the port is open")
        yield probes
    finally:
        probes.stop()


@dataclass(frozen=True)
class Got:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def get(probes: Probes, path: str, method: str = "GET") -> Got:
    """Ask once."""
    assert probes.port
    connection = http.client.HTTPConnection("127.0.0.1", probes.port, timeout=20)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return Got(answer.status, dict(answer.getheaders()), answer.read().decode())
    finally:
        connection.close()


def problem(key: str, severity: Any = "error", what: str = "It does not work.") -> Standing:
    """A problem that stands."""
    return Standing(Problem(key, "place", what, "Mend it.", severity), NOW)
