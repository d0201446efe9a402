"""Everything that a host and the commands write is searched for planted secrets, in clear and as base64."""

from __future__ import annotations

import base64
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from revscript.snapshot import Instance
from tests.cli.command import COMMAND, environment
from tests.instance import FAST, make_instance, rows, settled, wait_until
from tests.servers.ca import CertificateAuthority
from tests.servers.dovecot import Dovecot
from tests.servers.mails import alarm_mail
from tests.servers.smtp_sink import SmtpSink

# Words that stand nowhere else; blanks and signs because those take other ways through protocols and URLs.
LITERAL = 'Zwiebel-7 "kuchen"'
IN_FILE = "Fahrstuhl/9&musik"
IN_ENVIRONMENT = "Gartenzaun=3%farbe"
WRONG = "Regenschirm 5 verloren"
FOR_SMTP = "Kaffeetasse+2"
MISPLACED = "Wanduhr8steht"
IN_URL = "Teppich4gelb"
URL_KEY = "Briefmarke6blau"
SECRETS = {
    "einsatz": LITERAL,
    "datei": IN_FILE,
    "umgebung": IN_ENVIRONMENT,
    "falsch": WRONG,
    "wehr": FOR_SMTP,
    "": MISPLACED,
    "url": IN_URL,
    "key": URL_KEY,
}
ENVIRONMENT = {"REVSCRIPT_SECRET_UMGEBUNG": IN_ENVIRONMENT, "PYTHONWARNINGS": "default"}

SCRIPT = """
def onEMail(mail):
    send_mail("wehr@fuest.example", "Alarm", mail.subject)
    documents.incoming(mail)
"""


def traces(user: str, secret: str) -> Iterator[bytes]:
    """What a secret looks like, also on its way through SASL (RFC 4616), JSON and URLs."""
    yield secret.encode()
    yield json.dumps(secret)[1:-1].encode()
    yield repr(secret)[1:-1].encode()
    yield quote(secret).encode()
    yield base64.b64encode(secret.encode()).rstrip(b"=")
    for begin in (f"\0{user}\0", f"{user}\0{user}\0", f"{user}:"):
        # Of the last group of base64 some bits belong to what follows: leave it out.
        coded = base64.b64encode(f"{begin}{secret}".encode()).rstrip(b"=")
        yield coded[len(begin) * 4 // 3 + 2 : -1]


def found(written: bytes) -> list[str]:
    """The secrets that stand in something, colours or not."""
    written = re.sub(rb"\x1b\[[0-9;]*m", b"", written)
    return [secret for user, secret in SECRETS.items() if any(trace in written for trace in traces(user, secret))]


@pytest.fixture(scope="module")
def server(ca: CertificateAuthority) -> Iterator[Dovecot]:
    """A server at which the planted passwords are right."""
    extra = "".join(
        f"passdb {{\n  driver = static\n  mechanisms = plain login\n  args = password={_quoted(word)}\n}}\n"
        for word in (LITERAL, IN_FILE, IN_ENVIRONMENT)
    )
    with Dovecot(ca, extra=extra) as dovecot:
        yield dovecot


def _quoted(word: str) -> str:
    return "{PLAIN.b64}" + base64.b64encode(word.encode()).decode()


@pytest.fixture
def sink(ca: CertificateAuthority) -> Iterator[SmtpSink]:
    """A server that wants a login for sending."""
    with SmtpSink(ca, security="starttls", login=("wehr", FOR_SMTP)) as sink:
        yield sink


def account(dovecot: Dovecot, sink: SmtpSink, user: str, password: str, smtp_password: str) -> dict[str, Any]:
    smtp_login = {"method": "password", "username": "wehr", "password": smtp_password}
    return {
        "address": f"{user}@post.example",
        "authentication": {"method": "password", "username": user, "password": password},
        "receiving": {"protocol": "imap", "host": "localhost", "port": dovecot.imap, "interval": FAST},
        "sending": {"protocol": "smtp", "host": "localhost", "port": sink.port, "authentication": smtp_login},
        "ca_file": str(dovecot.ca_pem),
        "methods": {"script": True, "document": True},
    }


@pytest.fixture
def instance(tmp_path: Path, server: Dovecot, sink: SmtpSink) -> Instance:
    """Secrets in all places, right and wrong ones, and files with errors beside them."""
    misplaced = account(server, sink, "kaputt", LITERAL, WRONG)
    misplaced["authentication"] |= {"passwort": MISPLACED, "username": [MISPLACED]}
    misplaced["receiving"]["host"] = f"imap://mue:{MISPLACED}@localhost"
    accounts = {
        "einsatz": account(server, sink, "einsatz", LITERAL, FOR_SMTP),
        "datei": account(server, sink, "datei", "secret:datei", WRONG),
        "umgebung": account(server, sink, "umgebung", "secret:umgebung", "secret:smtp"),
        "falsch": account(server, sink, "falsch", WRONG, WRONG),
        "kaputt": misplaced,
    }
    url = f"https://mue:{IN_URL}@127.0.0.1:9/{URL_KEY}"
    settings = {
        "heartbeat": {"url": url, "every": FAST},
        "alerts": {"webhook": url, "after": FAST, "repeat": FAST},
        "backoff": {"first": 0.1, "most": 0.2},
        "outbox": {"retry": [0.1]},
    }
    made = make_instance(tmp_path / "instance", accounts, {"onEMail.py": SCRIPT}, settings)
    made.secrets.mkdir()
    for name, secret in {"datei": IN_FILE, "smtp": FOR_SMTP}.items():
        (made.secrets / name).write_text(secret)
        (made.secrets / name).chmod(0o600)
    return made


class Run:
    """A host as a process; `written` is what it wrote, to a pipe or to a terminal."""

    def __init__(self, instance: Instance, command: Sequence[str], *, terminal: bool = False) -> None:
        ours, theirs = pty.openpty() if terminal else os.pipe()
        env = environment() | ENVIRONMENT | {"PYTHONPATH": str(Path(__file__).parents[2])}
        self._process = subprocess.Popen(command, cwd=instance.root, env=env, stdout=theirs, stderr=theirs)
        os.close(theirs)
        self.written = b""
        self._reader = threading.Thread(target=self._read, args=(ours,), name="output")
        self._reader.start()

    def _read(self, ours: int) -> None:
        while True:
            try:
                piece = os.read(ours, 65_536)
            except OSError:  # how a terminal says that nobody writes any more
                break
            if not piece:
                break
            self.written += piece
        os.close(ours)

    def end(self, number: signal.Signals) -> int:
        """End it by a signal; its exit code."""
        self._process.send_signal(number)
        code = self._process.wait(20)
        self._reader.join(20)
        return code


def commands(instance: Instance) -> Iterator[bytes]:
    """What the commands print, for people and for programs."""
    shows = ["mails", "forms", "missions", "notices", "outbox", "quarantine"]
    plain = [["check"], ["status"], ["run"], ["schema"], *(["show", what] for what in shows), ["show", "mail", "1"]]
    wrong = {"REVSCRIPT_NETWORK__PROXY": f"http://mue:{IN_URL}@127.0.0.1:9", "REVSCRIPT_ALERTS__WEBHOOK": URL_KEY}
    for arguments in plain:
        for more in [[], ["--json"]]:
            done = subprocess.run(
                [*COMMAND, *arguments, *more],
                cwd=instance.root,
                env=environment() | ENVIRONMENT | wrong,
                capture_output=True,
                timeout=60,
                check=False,
            )
            assert b"Traceback" not in done.stderr
            yield done.stdout + done.stderr


def test_secrets_are_never_shown(instance: Instance, server: Dovecot, sink: SmtpSink) -> None:
    for user in ("einsatz", "datei", "umgebung"):
        server.deliver(user, alarm_mail())

    first = Run(instance, [*COMMAND, "run", "--log-level", "debug"])
    try:
        wait_until(lambda: b'"started"' in first.written, 30, "the host is up")
        wait_until(lambda: settled(instance) == 3, 60, "all mails are worked")
        wait_until(lambda: len(sink.messages) >= 2, 30, "mails were sent with the right passwords")
        wait_until(lambda: problems(instance) >= {"mailbox", "lane"}, 30, "the wrong passwords are problems")
    finally:
        first.end(signal.SIGKILL)

    crashes = [crashed(instance, terminal=terminal) for terminal in (False, True)]

    server.deliver("datei", alarm_mail(message_id="zwei@leitstelle.example"))
    second = Run(instance, [*COMMAND, "run", "--log-level", "debug"], terminal=True)
    try:
        wait_until(lambda: settled(instance) == 4, 60, "a terminal's host works too")
    finally:
        code = second.end(signal.SIGTERM)
    assert code == 0

    written = {f"host {number}": run.written for number, run in enumerate((first, *crashes, second))}
    written |= {f"command {number}": text for number, text in enumerate(commands(instance))}
    data = [path for path in instance.data.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in data)
    written |= {path.name: path.read_bytes() for path in data}
    assert {where: found(text) for where, text in written.items() if found(text)} == {}


def crashed(instance: Instance, *, terminal: bool) -> Run:
    """A host that broke while it held passwords, and was killed."""
    crash = Run(instance, [sys.executable, "-m", "tests.system.crasher"], terminal=terminal)
    try:
        # Several accounts break: behind the first traceback there is a second one, so that the first is whole.
        wait_until(lambda: crash.written.count(b"Traceback") >= 3, 60, "what nobody expected is logged")
    finally:
        crash.end(signal.SIGKILL)
    assert b"the library broke" in crash.written
    return crash


def problems(instance: Instance) -> set[str]:
    """The kinds of problems that are there."""
    return {str(key).partition(":")[0] for (key,) in rows(instance, "SELECT key FROM problem")}


def test_the_search_finds_what_it_looks_for() -> None:
    for user, secret in SECRETS.items():
        for text in (
            f"password={secret!r}",
            json.dumps({"x": [secret]}),
            f"https://mue:{quote(secret)}@host",
            base64.b64encode(f"\0{user}\0{secret}".encode()).decode(),
            base64.b64encode(secret.encode()).decode(),
        ):
            assert secret in found(text.encode()), text
    assert found(b"password=********") == []
