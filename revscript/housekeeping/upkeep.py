"""The regular jobs: retention, the database's care, room on the disk, certificates that expire."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import structlog

from revscript.errors import StoreError
from revscript.housekeeping.certificates import Certificates
from revscript.housekeeping.clockwork import Job
from revscript.model import Clock, Problem, ProblemSink
from revscript.snapshot import Snapshot
from revscript.store import upkeep
from revscript.store.blobs import Blobs
from revscript.store.database import Database
from revscript.store.retention import Retention

LITTLE = 500_000_000  # bytes free, or
LITTLE_SHARE = 0.05  # of the disk: time to make room
ALMOST_NOTHING = 100_000_000  # bytes free: soon no mail can be received

log = structlog.get_logger()


class Upkeep:
    """What keeps an instance fit. `jobs` are for the clockwork, which sets `stopping` when they are to end."""

    def __init__(
        self,
        root: Path,
        database: Database,
        blobs: Blobs,
        snapshot: Callable[[], Snapshot],
        problems: ProblemSink,
        clock: Clock,
        clock_confirmed: Callable[[], bool],
        stopping: threading.Event,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._snapshot = snapshot
        self._problems = problems
        self._clock = clock
        self._stopping = stopping
        self._clock_confirmed = clock_confirmed
        self._retention = Retention(database, blobs, clock_confirmed, stopping.is_set)
        self._certificates = Certificates(root, problems, clock)

    def jobs(self) -> tuple[Job, ...]:
        """All of them, with how often they are to be done."""
        return (
            Job("disk", timedelta(minutes=1), self._disk),
            Job("checkpoint", timedelta(minutes=5), self._checkpoint),
            # Not at the start: until servers have spoken, nobody knows whether the machine woke up with a wrong clock.
            Job("retention", timedelta(hours=1), self._purge, at_start=False),
            Job("sweep", timedelta(hours=1), self._sweep),
            Job("certificates", timedelta(hours=6), lambda: self._certificates.check(self._snapshot())),
            Job("optimize", timedelta(days=1), lambda: upkeep.optimize(self._database)),
        )

    def _purge(self) -> None:
        now, keep = self._clock(), self._snapshot().settings.retention.raw_mail
        if self._clock_confirmed() or not self._retention.is_due(now, timedelta(days=keep)):
            self._problems.clear("retention")
        else:
            self._problems.report(_withheld())
        done = self._retention.purge(now, timedelta(days=keep))
        for mail_id in done.mails:
            self._problems.clear(f"unreadable:{mail_id}")  # it advises to look at the raw mail
        numbers = {
            "mails": len(done.mails),
            "acts": done.acts,
            "notices": done.notices,
            "canaries": done.canaries,
            "scripts": done.scripts,
            "blobs": done.blobs,
            "bytes": done.bytes,
        }
        if any(numbers.values()):
            log.info("purged", **numbers, days=keep)

    def _sweep(self) -> None:
        if rows := self._blobs.sweep(self._stopping.is_set):
            log.info("swept", rows=rows)

    def _checkpoint(self) -> None:
        if upkeep.checkpoint(self._database):
            log.debug("write-ahead log cut")

    def _disk(self) -> None:
        folder = self._database.path.parent
        try:
            room = shutil.disk_usage(folder)
        except OSError as error:
            raise StoreError(f"{folder}: {error.strerror}.") from error
        if problem := disk_problem(folder, room.free, room.total):
            self._problems.report(problem)
        else:
            self._problems.clear("disk")


def _withheld() -> Problem:
    return Problem(
        "retention",
        "settings.json, retention",
        "Old mails are not removed: no server's date has confirmed this host's clock since the machine was booted.",
        "Two new mails in an IMAP mailbox confirm it, or one answer of the heartbeat or of alerts.webhook by https: "
        "where mails come by POP3 alone, set one of these.",
        "warning",
    )


def disk_problem(folder: Path, free: int, total: int) -> Problem | None:
    """What is to be said of `free` bytes of `total` on the disk of the data folder; None: there is room."""
    if free >= LITTLE and free >= LITTLE_SHARE * total:
        return None
    # In coarse steps, so that the words do not change with every mail.
    left = f"{free // 1_000_000_000} GB are" if free >= 1_000_000_000 else f"{free // 50_000_000 * 50} MB are"
    if free < ALMOST_NOTHING:
        what = f"The disk is almost full: less than {ALMOST_NOTHING // 1_000_000} MB are free."
        way_out = "Make room now: without it no mail can be received; mails wait on their servers meanwhile."
        return Problem("disk", str(folder), what, way_out)
    what = f"The disk is filling up: about {left} free."
    way_out = "Make room, move the data folder to a larger disk, or lower retention.raw_mail in settings.json."
    return Problem("disk", str(folder), what, way_out, "warning")
