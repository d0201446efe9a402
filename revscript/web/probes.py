"""`/livez`, `/readyz` and `/metrics`: for monitoring, read only, on a port of their own.

SECURITY: whoever reaches the port may ask; by default that is this machine alone. The answers hold names of accounts
and servers' complaints, never credentials and nothing from mails. Nothing of a request is used but its path. A request
is a head of at most 8 KiB within 5 s, its body is not read, the connection ends with the answer. At most 32 connections
are served, each by a thread; one more ends the oldest, so that slow clients only hurt each other, and is ended itself
while the answers hang. The database is asked by one thread at a time, and whoever asks does not wait for it longer than
a few seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import structlog

from revscript.config import Web
from revscript.health import Standing
from revscript.health.notices import public
from revscript.model import Clock, Problem, ProblemSink
from revscript.web.once import Once
from revscript.web.server import Answer, Route, Server

RETRY = 10.0  # s between attempts to open the port
LOOK = 0.5  # s within which a stop or another setting is noticed
PATIENCE = 3.0  # s that /livez and /readyz wait for what they ask
METRICS_PATIENCE = 8.0  # s; Prometheus gives up after 10 by default

log = structlog.get_logger()


class Probes:
    """The thread of the port. `stalled`: threads that do not move, in words; `standing`: all open problems."""

    def __init__(
        self,
        stalled: Callable[[], Sequence[str]],
        standing: Callable[[], Sequence[Standing]],
        metrics: Callable[[], Answer],
        problems: ProblemSink,
        clock: Clock,
    ) -> None:
        self._stalled = Once("livez", stalled, PATIENCE)
        self._standing = Once("readyz", standing, PATIENCE)
        self._metrics = Once("metrics", metrics, METRICS_PATIENCE)
        self._problems = problems
        self._clock = clock
        self._web = Web(enabled=False)
        self._changed = threading.Event()
        self._stopping = False
        self.port: int | None = None  # the port that is open now
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    def start(self) -> None:
        """Open the port that `reconfigure` has named; one that is in use is a Problem and tried again."""
        self._thread.start()

    def reconfigure(self, web: Web) -> None:
        """The settings to go by from now on; does nothing when they are the same."""
        if web != self._web:
            self._web = web
            self._changed.set()

    def stop(self) -> None:
        """Close the port."""
        self._stopping = True
        self._changed.set()
        if self._thread.ident is not None:
            self._thread.join()

    # ------------------------------------------------------------ the port

    def _run(self) -> None:
        while not self._stopping:
            self._changed.clear()
            if self._stopping:  # said between the two lines above
                return
            try:
                self._listen(self._web)
            except OSError as error:
                self._problems.report(_not_open(self._web, error))
                self._changed.wait(RETRY)
            except Exception as error:  # the port's own boundary: without it nobody could ask how the host does
                log.exception("web failed")
                self._problems.report(_not_open(self._web, error))
                self._changed.wait(RETRY)

    def _listen(self, web: Web) -> None:
        if not web.enabled:
            self._problems.clear("web")
            self._changed.wait()
            return
        routes: dict[str, Route] = {"/livez": self._livez, "/readyz": self._readyz, "/metrics": self._metrics_or_503}
        with Server(web.host, web.port, routes) as server:
            self.port = server.port
            self._problems.clear("web")
            log.info("listening", host=web.host, port=server.port)
            try:
                while not self._changed.is_set():
                    server.serve(LOOK)
            finally:
                self.port = None

    # ------------------------------------------------------------ the answers

    def _livez(self) -> Answer:
        try:
            stalled = list(self._stalled())
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            stalled = [f"the threads cannot be looked at: {_named(error)}"]
        return Answer.json(503 if stalled else 200, {"alive": not stalled, "stalled": stalled})

    def _readyz(self) -> Answer:
        try:
            errors = [one for one in self._standing() if one.problem.severity == "error"]
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            what = f"The problems cannot be listed: {_named(error)}"
            unknown = Problem("health", "health", what, "Look into the log; the database may hang.")
            errors = [Standing(unknown, self._clock(), time.monotonic())]
        listed = [_public(one) for one in errors]
        return Answer.json(503 if errors else 200, {"ready": not errors, "problems": listed})

    def _metrics_or_503(self) -> Answer:
        try:
            return self._metrics()
        except Exception as error:
            log.warning("metrics failed", why=_named(error), exc_info=not isinstance(error, TimeoutError))
            return Answer.text(503, f"The metrics cannot be taken: {_named(error)}\n")


def _named(error: Exception) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__


def _public(one: Standing) -> dict[str, object]:
    """A problem as anybody may read it, with its time."""
    problem = public(one.problem)
    return {
        "key": problem.key,
        "severity": problem.severity,
        "where": problem.where,
        "what": problem.what,
        "way_out": problem.way_out,
        "since": one.since.isoformat(timespec="milliseconds"),
        "seconds": round(one.lasted(time.monotonic())),
    }


def _not_open(web: Web, error: Exception) -> Problem:
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    return Problem(
        "web",
        f"port {web.port}",
        f"The port for health and metrics cannot be opened on {web.host}:{web.port}: {why}.",
        "Set web.host and web.port in settings.json to an address of this machine and a free port, or web.enabled to "
        "false; it is tried again by itself, and all else runs.",
        "warning",
    )
