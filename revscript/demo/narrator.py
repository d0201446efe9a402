"""Tells live what the host does: its log events, as lines for people.

SECURITY: almost everything told here was written by outsiders. Control characters are taken out, and nothing is read as
rich's markup.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from rich.console import Console
from rich.text import Text
from structlog.typing import EventDict, WrappedLogger

from revscript.host import Host
from revscript.jail.reading.clean import one_line
from revscript.model import wall_clock
from revscript.store import views

LONGEST_WAIT = 0.1  # s between looks whether the demo is to stop
LOUD = ("warning", "error", "critical")
_SETTLED = {"seen": "marked as read", "delete": "deleted", "none": "left as it is"}


class Tap:
    """Takes all log events, instead of printing them; the last processor of structlog's chain."""

    def __init__(self) -> None:
        self.events: queue.SimpleQueue[EventDict | None] = queue.SimpleQueue()
        structlog.configure(
            processors=[structlog.stdlib.add_log_level, structlog.processors.format_exc_info, self._take],
            wrapper_class=structlog.make_filtering_bound_logger("debug"),
        )

    def _take(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        self.events.put({**event, "at": wall_clock()})
        raise structlog.DropEvent


class Narrator:
    """The thread that tells. `received`: mails in their order; `concluded`: those that are settled, or have failed."""

    def __init__(self, tap: Tap, host: Host, console: Console) -> None:
        self.received: list[int] = []
        self.concluded: set[int] = set()
        self._events = tap.events
        self._host = host
        self._stores = host.stores
        self._console = console
        self._zone = ZoneInfo(host.snapshot.settings.time_zone)
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="narrator", daemon=True)
        self._tell: dict[str, Callable[[EventDict], None]] = {
            "connected": self._connected,
            "received": self._received,
            "read": self._read,
            "conflict": self._conflict,
            "committed": self._committed,
            "effects": self._effects,
            "failed": self._failed,
            "quarantined": self._failed,
            "settled": self._settled,
            "sent": self._sent,
            "problem": self._problem,
        }

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def stop(self) -> None:
        """Tell what is left, then end."""
        self._events.put(None)
        self._thread.join()

    def wait_for(self, true: Callable[[], bool], timeout: float, stop: threading.Event) -> bool:
        """Wait until something is true that the told events decide; False when it takes too long, or at a stop."""
        until = time.monotonic() + timeout
        with self._news:
            while not (done := true()) and not stop.is_set() and time.monotonic() < until:
                self._news.wait(LONGEST_WAIT)
            return done

    def say(self, text: str, style: str = "", indent: int = 0) -> None:
        """A line, never cut or wrapped."""
        self._console.print(Text(" " * indent + one_line(text), style=style), soft_wrap=True)

    # ------------------------------------------------------------ the thread

    def _run(self) -> None:
        while (event := self._events.get()) is not None:
            tell = self._tell.get(event["event"])
            if tell is not None:
                tell(event)
            elif event["level"] in LOUD:
                self._anything(event)
            with self._news:
                self._note(event)
                self._news.notify_all()

    def _note(self, event: EventDict) -> None:
        if event["event"] == "received":
            self.received.append(event["mail"])
        elif event["event"] in ("settled", "failed", "quarantined"):
            self.concluded.add(event["mail"])

    def _line(self, event: EventDict, text: str, style: str = "") -> None:
        at: datetime = event["at"]
        mail = f"mail {event['mail']}" if "mail" in event else ""
        self.say(f"{at.astimezone(self._zone):%H:%M:%S}  {mail:<8} {text}", style)

    def _effect(self, words: str, style: str = "green") -> None:
        self.say(f"→ {words}", style, indent=21)

    # ------------------------------------------------------------ the events

    def _connected(self, event: EventDict) -> None:
        self._line(event, f"logged in to the mailbox of {event['account']}", "dim")

    def _received(self, event: EventDict) -> None:
        self._line(event, f"received by {event['account']}, {event['size']} bytes", "bold")

    def _read(self, event: EventDict) -> None:
        reading = self._stores.ledger.reading(event["mail"])
        sender = reading.sender.address if reading.sender else "nobody"
        files = f", {len(reading.attachments)} attachments" if reading.attachments else ""
        self._line(event, f'from {sender}: "{reading.subject}"{files}')
        for defect in reading.defects:
            self._effect(f"read all the same: {defect}", "yellow")

    def _conflict(self, event: EventDict) -> None:
        self._line(event, "what it was told has changed meanwhile: it runs again", "yellow")

    def _committed(self, event: EventDict) -> None:
        self._line(event, f"{self._who(event)}: {event['exit']}")

    def _effects(self, event: EventDict) -> None:
        for words in event["words"]:
            self._effect(words)

    def _failed(self, event: EventDict) -> None:
        tries = len(self._host.snapshot.settings.tries)
        self._line(event, f"{self._who(event)}: {event['exit']}, try {event['attempt']} of {tries}", "red")
        self._effect(event["reason"], "red")
        again = event["next_try"]
        if again is None:
            self._effect("quarantine: nothing of it was done, and the mail stays on its server", "bold red")
        else:
            seconds = (datetime.fromisoformat(again) - event["at"]).total_seconds()
            self._effect(f"tried again in {max(0.0, seconds):.1f} s; other mails go on", "yellow")

    def _settled(self, event: EventDict) -> None:
        word, _, folder = str(event["by"]).partition(":")
        self._line(event, f"settled: {settled_words(word, folder)} on the server", "cyan")

    def _sent(self, event: EventDict) -> None:
        count = event["recipients"]
        whom = "1 recipient" if count == 1 else f"{count} recipients"
        self._line(event, f"mail no. {event['act']} has left by {event['lane']} to {whom}", "cyan")

    def _problem(self, event: EventDict) -> None:
        self._line(event, f"problem, {event['where']}: {event['what']}", "yellow")
        self._effect(event["way_out"], "yellow")

    def _anything(self, event: EventDict) -> None:
        rest = {name: value for name, value in event.items() if name not in ("event", "level", "at", "mail")}
        self._line(event, ", ".join([event["event"], *(f"{name}: {value}" for name, value in rest.items())]), "red")

    def _who(self, event: EventDict) -> str:
        """Who ran; a script with the version that its run recorded."""
        kind, _, name = str(event["by"]).partition(":")
        if kind != "script":
            return f"{kind} {name}"
        return f"script {name} {script_version(views.one_mail(self._stores.database, event['mail']), event['by'])}"


def settled_words(word: str, folder: str) -> str:
    """What became of a mail on its server."""
    return f'moved to "{folder}"' if word == "move" else _SETTLED.get(word, word)


def script_version(mail: dict[str, Any] | None, by: str) -> str:
    """The first 8 hex digits of the SHA-256 of the script that ran last; "?" when no run was recorded."""
    runs = [run for task in (mail or {}).get("tasks", ()) for run in task["runs"] if run["by"] == by]
    return (runs[-1]["script_sha256"] or "?")[:8] if runs else "?"
