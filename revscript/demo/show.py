"""The demo from its first line to its last: servers, host, the twelve mails, the report."""

from __future__ import annotations

import secrets
import shlex
import signal
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from rich.console import Console

from revscript.demo import instance, mended, post, report
from revscript.demo.certificate import server_context
from revscript.demo.checks import MOST, Check, check_all, the_mails
from revscript.demo.mailserver import HOST, MailServer
from revscript.demo.narrator import Narrator, Tap
from revscript.demo.story import SCENES
from revscript.errors import ConfigError, RevscriptError
from revscript.host import Host, locked
from revscript.store import views

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 15.0  # s for one mail, and for the end of all
EXAMPLE = "From: ich@firma.example\\nSubject: Probe\\n\\nEinsatznummer: E 26 004711\\nAlles ruhig."


@dataclass(frozen=True, slots=True)
class Wishes:
    """How the demo is to be: `once` ends it after the report; `keep` is an empty folder that stays; port 0: any."""

    once: bool = False
    keep: Path | None = None
    imap_port: int = 0
    smtp_port: int = 0


def run(wishes: Wishes, console: Console) -> int:
    """Run the demo → exit code: 1 when something did not come out as the story says."""
    stop = threading.Event()
    with _stopped_by_signals(stop), _folder(wishes.keep) as root, _mail_server(wishes, root) as (server, password):
        where = instance.make(root, password, server.imap_port, server.smtp_port)
        tap = Tap()
        with locked(where):
            host = Host(where)
            host.start()
            narrator = Narrator(tap, host, console)
            narrator.start()
            try:
                return Show(wishes, host, server, narrator, console, stop).play()
            finally:
                host.stop()
                narrator.stop()


@contextmanager
def _stopped_by_signals(stop: threading.Event) -> Generator[None]:
    def ask(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, ask) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _folder(keep: Path | None) -> Generator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="revscript-demo-") as folder:
            yield Path(folder)
        return
    try:
        keep.mkdir(mode=0o700, parents=True, exist_ok=True)
        used = any(keep.iterdir())
    except OSError as error:
        raise ConfigError(f"--keep {keep}: {error.strerror}") from None
    if used:
        raise ConfigError(f"--keep {keep}: the folder is not empty.", hint="Name a new one.")
    yield keep.absolute()


@contextmanager
def _mail_server(wishes: Wishes, root: Path) -> Generator[tuple[MailServer, str]]:
    password = secrets.token_urlsafe(12)
    context = server_context(HOST, root)
    server = MailServer(instance.USERS, password, context, wishes.imap_port, wishes.smtp_port)
    try:
        server.start()
    except OSError as error:
        server.stop()
        why = f"The demo's mail server cannot be started: {error.strerror or error}"
        raise RevscriptError(why, hint="Name other ports, or none.") from error
    try:
        yield server, password
    finally:
        server.stop()


class Show:
    """The performance, on a running host."""

    def __init__(
        self,
        wishes: Wishes,
        host: Host,
        server: MailServer,
        narrator: Narrator,
        console: Console,
        stop: threading.Event,
    ) -> None:
        self._wishes = wishes
        self._host = host
        self._server = server
        self._narrator = narrator
        self._console = console
        self._stop = stop
        self._say = narrator.say

    def play(self) -> int:
        """Everything → exit code."""
        started = time.monotonic()
        self._introduce()
        played = self._send_all() and self._wait_for_the_end()
        if self._stop.is_set():
            self._say("stopped before the end")
            return 1 if self._wishes.once else 0
        good = self._report(in_time=played)
        if self._wishes.once:
            self._say(f"{'all as designed' if good else 'NOT as designed'}, after {time.monotonic() - started:.1f} s")
        else:
            self._stay_up()
        return 0 if good else 1

    def _introduce(self) -> None:
        settings, accounts = self._host.snapshot.settings, self._host.snapshot.accounts
        tries = ", ".join(f"{minutes * 60:g}" for minutes in settings.tries)
        fate = "which stays" if self._wishes.keep else "which is removed at the end (--keep DIR keeps it)"
        self._say(f"A command post in {self._host.instance.root}, {fate}", "bold")
        self._say(f"IMAP {HOST}:{self._server.imap_port}, SMTP {HOST}:{self._server.smtp_port}, both with STARTTLS")
        for name, account in accounts.items():
            script = self._host.snapshot.script_of(account)
            version = f" {script.name} {script.sha256[:8]}," if script else ""
            self._say(f"account {name} <{account.address}>:{version} methods {', '.join(account.methods.names())}")
        spare = self._host.snapshot.scripts[mended.NAME]
        self._say(f"script {spare.name} {spare.sha256[:8]}: of no account, tried at the end on what went wrong")
        self._say(f"Tries shortened by settings.json: at {tries} s (usual are 0, 1 and 10 minutes);")
        self._say(f"mailboxes are looked into every {instance.INTERVAL * 60:g} s (usual is a minute).")

    def _send_all(self) -> bool:
        in_time = True
        for number, scene in enumerate(SCENES, start=1):
            if self._stop.is_set():
                return False
            self._console.print()
            self._say(f"{number} of {len(SCENES)}: {scene.title}", "bold magenta")
            post.send(scene.file, instance.ADDRESSES[scene.account], self._server.smtp_port, scene.age)
            through = self._narrator.wait_for(lambda number=number: self._through(number), PATIENCE, self._stop)
            in_time = in_time and through
            if not through and not self._stop.is_set():
                self._say(f"not through within {PATIENCE:g} s", "bold red")
        return in_time

    def _through(self, number: int) -> bool:
        received = self._narrator.received
        return len(received) >= number and received[number - 1] in self._narrator.concluded

    def _wait_for_the_end(self) -> bool:
        """Until no mail and no act waits any more; what is in quarantine waits for a person."""
        return self._narrator.wait_for(lambda: not self._waiting(), PATIENCE, self._stop)

    def _waiting(self) -> bool:
        database = self._host.stores.database
        mails = views.mails(database, MOST)
        open_tasks = any(state in ("waiting", "running") for mail in mails for state in mail["tasks"].values())
        untold = any(mail["state"] == "done" and not mail["settled"] for mail in mails)
        return open_tasks or untold or "pending" in views.acts_by_state(database)

    def _report(self, *, in_time: bool) -> bool:
        mails = the_mails(self._host, self._narrator.received[: len(SCENES)])
        self._console.print()
        report.mails_table(mails, self._console)
        report.tell_list("What the instance holds now", report.counts(self._host), self._console)
        open_ends = report.unfinished(self._host, mails)
        report.tell_list("What has not come to its end, and why", open_ends, self._console, "yellow")
        checks = [Check("everything was through in time", in_time), *check_all(self._host, self._server, mails)]
        checks += mended.dry_run(self._host, mails, self._console)
        report.tell_checks(checks, self._console)
        return all(one.fine for one in checks)

    def _stay_up(self) -> None:
        root, port = shlex.quote(str(self._host.instance.root)), self._server.smtp_port
        to = instance.ADDRESSES["stab"]
        self._console.print()
        self._say("Everything keeps running until Ctrl-C. Send it a mail of your own, for example:", "bold")
        code = f"import smtplib; smtplib.SMTP('{HOST}', {port}).sendmail('ich@firma.example', '{to}', '{EXAMPLE}')"
        self._say(f'python3 -c "{code}"', "cyan", indent=2)
        self._say("Or look at it from another terminal:")
        self._say(f"revscript status --instance {root}", "cyan", indent=2)
        self._say(f"revscript show mails --instance {root}", "cyan", indent=2)
        self._say(f"revscript trace 1 --instance {root}", "cyan", indent=2)
        self._say(f"curl http://{HOST}:{self._host.probes.port}/readyz", "cyan", indent=2)
        self._say(f"Change a script in {root}/user_scripts or an account: it is in force within a second.")
        self._say(f"The mailboxes open in any mail program; the password lies in {root}/secrets/{instance.SECRET}.")
        self._stop.wait()
        self._say("stopping")
