"""Everything that fails around a host in the field, as pairs of cause and cure. The host is a process of its own."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.instance import imap_account, make_instance, rows, wait_until
from tests.servers import HOST, free_ports
from tests.servers.ca import CertificateAuthority
from tests.servers.dovecot import PASSWORD, Dovecot
from tests.servers.fault_proxy import FaultProxy
from tests.servers.mails import alarm_mail
from tests.system.live import OFFSET

REPOSITORY = Path(__file__).parents[2]
PATIENCE = 40.0  # s for anything to happen
DISK = 24 << 20  # bytes of the small disk
USER = "post"
NAME = "imap.fuest.example"  # known to nobody but the host's own /etc/hosts
SCRIPT = """
def onEMail(mail):
    documents.incoming(mail, subject=mail.subject)
    notify.all(mail.subject, level="alarm")
"""
SETTINGS: dict[str, Any] = {
    "network": {"connect_timeout": 1, "read_timeout": 1},
    "backoff": {"first": 0.2, "most": 1},
    "push": {"renew": 2, "safety_search": 1},
}


class Place:
    """A host behind a fault proxy, its mail server and its instance folder, all on paths that everybody can reach."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.root = Path(tempfile.mkdtemp(prefix="faults-", dir="/tmp"))
        self.root.chmod(0o755)
        self.ca = CertificateAuthority()
        self.dovecot = Dovecot(self.ca)
        self.port = free_ports(1)[0]
        self.log_file = self.root / "log"

    @contextmanager
    def running(self) -> Generator[None]:
        """Servers and host, up; the host must end well at the end."""
        with self.dovecot, FaultProxy(HOST, self.dovecot.imap) as self.proxy:
            self._make()
            try:
                with self.log_file.open("wb") as log:
                    self.host = subprocess.Popen(
                        self._command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=REPOSITORY
                    )
                assert self.host.stdout
                assert self.host.stdout.readline() == b"started\n", self.log
                yield
                assert self.host.stdin
                self.host.stdin.close()
                assert self.host.wait(PATIENCE) == 0, self.log
            finally:
                self.host.kill()
                self.host.wait()
                if self.host.stdout:
                    self.host.stdout.close()
                self._remove()

    def _make(self) -> None:
        hosts = self.fault.hosts
        receiving = {"port": self.proxy.port, "folders": [self.fault.folder], "interval": 0.05}
        account = imap_account(
            self.dovecot,
            USER,
            methods={"script": True},
            authentication={"method": "password", "username": USER, "password": "secret:post"},
            receiving=receiving | ({"host": NAME} if hosts else {}),
            ca_file=None if hosts else "ca.pem",
            ignore_server_certificate=hosts,
        )
        settings = SETTINGS | {"web": {"port": self.port}}
        self.instance = make_instance(self.root / "instance", {"post": account}, {"onEMail.py": SCRIPT}, settings)
        self.write("ca.pem", self.ca.pem.decode())
        (self.instance.root / OFFSET).write_text("0")
        self.secret(PASSWORD)
        self.instance.data.mkdir()
        if self.fault.small_disk:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", self.instance.data], check=True)
        self.hosts = self.root / "hosts"
        self.hosts.write_text(f"127.0.0.1 localhost {NAME}\n")
        (self.root / "nsswitch.conf").write_text("hosts: files\npasswd: files\ngroup: files\n")
        if self.fault.folder != "INBOX":
            with self.dovecot.imap_client(USER) as client:
                client.create_folder(self.fault.folder)
        if self.fault.unprivileged:
            self._give_away()

    def _command(self) -> list[str]:
        live = ["-m", "tests.system.live", str(self.instance.root)]
        if self.fault.unprivileged:
            nobody = pwd.getpwnam("nobody")
            ids = [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
            return ["setpriv", *ids, str(self._foreign_python()), *live]
        if self.fault.hosts:
            mounts = (
                f"mount --bind {self.hosts} /etc/hosts && mount --bind {self.root}/nsswitch.conf /etc/nsswitch.conf"
            )
            return ["unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh", sys.executable, *live]
        return [sys.executable, *live]

    def _give_away(self) -> None:
        nobody = pwd.getpwnam("nobody")
        for path in (self.instance.root, *self.instance.root.rglob("*")):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)

    def _foreign_python(self) -> Path:
        """An interpreter that others may use, with our packages: this one may lie in a home folder."""
        packages = next(Path(path) for path in sys.path if path.endswith("site-packages"))
        subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", self.root / "python"], check=True)
        (site,) = (self.root / "python").glob("lib/python3*/site-packages")
        (site / "ours.pth").write_text(f"import site; site.addsitedir({str(packages)!r})\n{REPOSITORY}\n")
        return self.root / "python" / "bin" / "python"

    def _remove(self) -> None:
        if self.fault.small_disk:
            subprocess.run(["umount", "--lazy", self.instance.data], check=True)
        shutil.rmtree(self.root)

    # ------------------------------------------------------------ what faults do

    def write(self, name: str, text: str) -> None:
        """A file of the instance, replaced as careful programs do."""
        path = self.instance.root / name
        path.parent.mkdir(exist_ok=True)
        partial = path.with_name(f".{path.name}")
        partial.touch(mode=0o600)
        partial.write_text(text)
        partial.replace(path)

    def secret(self, password: str) -> None:
        """The account's password."""
        self.write("secrets/post", password)

    def deliver(self, number: int) -> None:
        """The mail of this number."""
        self.dovecot.deliver(USER, alarm_mail(number=f"2026-{number}"), self.fault.folder)

    # ------------------------------------------------------------ what is to be seen

    @property
    def log(self) -> str:
        """What the host wrote so far."""
        return self.log_file.read_text()

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The lines of one event."""
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def ready(self) -> tuple[int, str]:
        """What `/readyz` says."""
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.port}/readyz", timeout=PATIENCE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def done(self) -> list[tuple[str, int, int]]:
        """Each finished mail: its subject, its forms, its notices."""
        return rows(
            self.instance,
            "SELECT subject, (SELECT count(*) FROM form_source WHERE mail_id = mail.id),"
            " (SELECT count(*) FROM notice WHERE mail_id = mail.id)"
            " FROM mail JOIN reading ON reading.mail_id = mail.id WHERE state = 'done' ORDER BY mail.id",
        )

    def wait(self, true: Callable[[], bool], what: str) -> None:
        """Until something is true; with the host's log when it does not become so."""
        try:
            wait_until(true, PATIENCE, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log}") from None

    def wait_done(self, count: int) -> None:
        """Until that many mails are finished."""
        self.wait(lambda: len(self.done()) >= count, f"{count} mails done")

    @cached_property
    def settled_inbox(self) -> Callable[[], bool]:
        """Whether the server was told of all mails."""
        return lambda: all("\\Seen" in flags for flags in self.dovecot.flags(USER, self.fault.folder).values())


Meddle = Callable[[Place], object]


@dataclass(frozen=True)
class Fault:
    """`cause` and `heal` are the trouble and its end; `key` and `says` its Problem; it `stands` until healed."""

    name: str
    cause: Meddle
    heal: Meddle
    says: str
    key: str = "mailbox:post"
    stands: bool = True
    receives: bool = False  # whether mails come in all the same
    folder: str = "INBOX"
    hosts: bool = False
    small_disk: bool = False
    unprivileged: bool = False


def _kick(place: Place) -> None:
    """BYE to a session that idles."""
    place.dovecot.doveadm("kick", USER)


def _present(place: Place, ca: CertificateAuthority) -> None:
    """The server comes back with a certificate of this authority."""
    place.dovecot.kill()
    ca.issue().write(place.dovecot.directory)
    place.dovecot.ca = ca
    place.dovecot.start()


def _remove_folder(place: Place) -> None:
    with place.dovecot.imap_client(USER) as client:
        client.delete_folder(place.fault.folder)
    _kick(place)


def _make_folder(place: Place) -> None:
    with place.dovecot.imap_client(USER) as client:
        client.create_folder(place.fault.folder)


def _fill(place: Place) -> None:
    with (place.instance.data / "filler").open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            while True:
                try:
                    file.write(b"x" * size)
                except OSError:
                    break


def _lock_data(place: Place) -> None:
    for path in place.instance.data.iterdir():
        path.chmod(0o400)
    place.instance.data.chmod(0o500)
    place.host.send_signal(signal.SIGUSR1)


def _unlock_data(place: Place) -> None:
    place.instance.data.chmod(0o700)
    for path in place.instance.data.iterdir():
        path.chmod(0o600)


def _cut(place: Place) -> None:
    place.proxy.refuse()
    place.proxy.reset_all()


FAULTS = [
    Fault("silent death", lambda p: p.proxy.blackhole("up", "down"), lambda p: p.proxy.heal(), "does not answer"),
    Fault("RST", _cut, lambda p: p.proxy.heal(), "has broken off the connection"),
    Fault("BYE", _kick, lambda p: None, "the server ends the connection: Server shutting down.", stands=False),
    Fault(
        "half-close", lambda p: p.proxy.limit("down", 0, how="half"), lambda p: p.proxy.heal(), "closed the connection"
    ),
    Fault("server restart", lambda p: p.dovecot.kill(), lambda p: p.dovecot.start(), "the connection"),
    Fault(
        "name resolution",
        lambda p: (p.hosts.write_text("127.0.0.1 localhost\n"), p.proxy.reset_all()),
        lambda p: p.hosts.write_text(f"127.0.0.1 localhost {NAME}\n"),
        f"The name {NAME} cannot be resolved",
        hosts=True,
    ),
    Fault("wrong password", lambda p: p.secret("wrong"), lambda p: p.secret(PASSWORD), "refused the login"),
    Fault(
        "certificate not trusted",
        lambda p: _present(p, CertificateAuthority("Somebody")),
        lambda p: _present(p, p.ca),
        "is not trusted",
    ),
    Fault("folder missing", _remove_folder, _make_folder, "The folder 'Alarme' cannot be opened", folder="Alarme"),
    Fault(
        "full disk",
        _fill,
        lambda p: (p.instance.data / "filler").unlink(),
        "disk is full",
        key="store",
        small_disk=True,
    ),
    Fault("read-only data folder", _lock_data, _unlock_data, "readonly database", key="store", unprivileged=True),
    Fault(
        "clock set back",
        lambda p: (p.instance.root / OFFSET).write_text("-3600"),
        lambda p: (p.instance.root / OFFSET).write_text("0"),
        "clock was set back by 60 min",
        key="clock",
        receives=True,
    ),
]
