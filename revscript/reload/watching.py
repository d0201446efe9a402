"""watchdog on the watched folders: it only rings, looking is the sweep's work.

What it cannot be trusted with (measured with watchdog 7.1): a folder that was deleted and made again goes unseen while
the observer says that it is alive, a renamed one is followed by its inode. So each folder is watched for itself, and
anew as soon as its identity changes. On network shares there may be no events at all.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Sequence
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

from revscript.model import Problem, ProblemSink
from revscript.reload.places import Place, identity

READING = frozenset({"opened", "closed_no_write"})  # what our own looking raises

_WAY_OUT = {  # inotify_init(2), inotify_add_watch(2)
    errno.EMFILE: "To have them at once, raise fs.inotify.max_user_instances.",
    errno.ENOSPC: "To have them at once, raise fs.inotify.max_user_watches.",
}


class Watching:
    """Calls `ring` when something in the places may have changed."""

    def __init__(self, watched: Sequence[Place], ring: Callable[[], None], problems: ProblemSink) -> None:
        self._places = watched
        self._ring = ring
        self._problems = problems
        self._observer: BaseObserver | None = None
        self._scheduled: dict[Path, tuple[tuple[int, int], ObservedWatch]] = {}

    def renew(self) -> None:
        """Watch the folders that there are now. Never raises: without events, changes are found by looking."""
        try:
            if self._observer is None or not self._observer.is_alive():
                self.stop()
                self._observer = Observer()
                self._observer.start()
            for place in self._places:
                self._watch(self._observer, place)
        except OSError as error:  # the kernel's inotify limits, for example
            self._problems.report(_blind(error))
        else:
            self._problems.clear("reload:events")

    def _watch(self, observer: BaseObserver, place: Place) -> None:
        now = identity(place.folder)
        known = self._scheduled.get(place.folder)
        if known and known[0] == now:
            return
        if known:
            with contextlib.suppress(KeyError, OSError):  # its emitter died with the folder
                observer.unschedule(known[1])
            del self._scheduled[place.folder]
        if now:
            with contextlib.suppress(FileNotFoundError):  # gone again
                self._scheduled[place.folder] = (now, observer.schedule(_Handler(place, self._ring), str(place.folder)))
                self._ring()  # what happened before we looked

    def stop(self) -> None:
        """No longer watch."""
        observer, self._observer = self._observer, None
        self._scheduled.clear()
        if observer is not None:
            observer.stop()
            if observer.is_alive():
                observer.join(1)


class _Handler(FileSystemEventHandler):
    def __init__(self, place: Place, ring: Callable[[], None]) -> None:
        self._place = place
        self._ring = ring

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type in READING or (event.is_directory and event.event_type == "modified"):
            return  # a folder is modified whatever happens in it; what happened has an event of its own
        names = {Path(str(path)).name for path in (event.src_path, event.dest_path) if path}
        if any(self._place.counts(name) for name in names if name) or str(event.src_path) == str(self._place.folder):
            self._ring()


def _blind(error: OSError) -> Problem:
    return Problem(
        "reload:events",
        "hot reload",
        f"The system gives no notice of changed files: {error.strerror or error}.",
        f"Changes are found by looking, within 3 s. {_WAY_OUT.get(error.errno or 0, '')}".strip(),
        "warning",
    )
