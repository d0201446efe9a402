"""A private Dovecot: own ports, own directory, any user, one password, nothing of the system's."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import cast

from imapclient import IMAPClient
from imapclient.imap_utf7 import encode as utf7

from tests.servers import HOST, free_ports
from tests.servers.ca import CertificateAuthority
from tests.servers.dovecot_conf import configuration

PASSWORD = "secret"
MISSING = (
    "The tests need a real Dovecot. Run tests/install-servers.sh as root, or install the packages "
    "dovecot-core, dovecot-imapd, dovecot-pop3d and dovecot-lmtpd."
)
_READY_SECONDS = 10.0

# A shell beside Dovecot kills the process group when our end of the pipe closes: when the tests die, however
# they die. By way of descriptor 3, since the shell takes the input away from what it starts with `&`.
_LEASH = 'exec 3<&0; (read -r _ <&3; kill -KILL 0) & exec "$@" </dev/null 3<&-'


class Dovecot:
    """Serves `imap`, `imaps`, `pop3`, `pop3s` and `lmtp` (ports of 127.0.0.1) to any user name.

    Runs as nobody if root started it, else as the current user. User names are lower case.
    """

    host = HOST

    def __init__(self, ca: CertificateAuthority | None = None, *, extra: str = "") -> None:
        if not installed():
            raise FileNotFoundError(MISSING)
        self.ca = ca or CertificateAuthority()
        self.ports: dict[str, int] = dict(zip(("imap", "imaps", "pop3", "pop3s", "lmtp"), free_ports(5), strict=True))
        self.imap, self.imaps, self.pop3, self.pop3s, self.lmtp = self.ports.values()
        self._extra = extra
        self._numbers = itertools.count()
        self._process: subprocess.Popen[bytes] | None = None
        self._account = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())

    @property
    def log(self) -> str:
        """What the server wrote so far."""
        parts = (self.directory / name for name in ("output", "dovecot.log"))
        return "".join(part.read_text(errors="replace") for part in parts if part.exists())

    def start(self) -> Dovecot:
        """Start and wait until a LOGIN works; returns itself."""
        if not hasattr(self, "directory"):
            self._prepare()
        (self.directory / "run" / "master.pid").unlink(missing_ok=True)  # its process may be a zombie still
        with (self.directory / "output").open("ab") as output:
            self._process = subprocess.Popen(
                ["sh", "-c", _LEASH, "dovecot", *self._as_account("dovecot", "-F")],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._wait_ready()
        return self

    def stop(self) -> None:
        """Kill every process of it and remove its directory, for good."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def kill(self) -> None:
        """Crash: every process is gone at once, mails and ports stay; `start()` brings it back."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
        if process.stdin:
            process.stdin.close()
        while any(listens(port) for port in self.ports.values()):  # grandchildren die a little later
            time.sleep(0.002)

    def kill_and_restart(self) -> None:
        """A crash and a new start: all connections are gone, the mails and the ports stay."""
        self.kill()
        self.start()

    def __enter__(self) -> Dovecot:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def maildir(self, user: str, folder: str = "INBOX") -> Path:
        """Where the folder's `new` and `cur` lie; the levels of `folder` are separated by a dot."""
        root = self.directory / "mail" / user / "Maildir"
        return root if folder.upper() == "INBOX" else root / f".{utf7(folder).decode()}"

    def deliver(self, user: str, raw: bytes, folder: str = "INBOX") -> None:
        """Put one mail into the folder at once, past all protocols; the folder is made if need be."""
        self.deliver_many(user, (raw,), folder)

    def deliver_many(self, user: str, mails: Iterable[bytes], folder: str = "INBOX") -> int:
        """Put the mails into the folder in this order (0.1 ms each); returns how many."""
        target = self.maildir(user, folder)
        if not (target / "new").exists():
            self._make_maildir(target)
        count = 0
        for raw in mails:
            # Dovecot numbers new mails in the order of these names.
            name = f"{int(time.time())}.M{next(self._numbers):09d}P{os.getpid()}.test"
            partial = target / "tmp" / name
            partial.write_bytes(raw)
            self._own(partial)
            partial.rename(target / "new" / name)
            count += 1
        return count

    def imap_client(self, user: str, *, port: int | None = None, tls: bool = True, timeout: float = 10.0) -> IMAPClient:
        """A client, logged in; close it with `with` or `logout()`. `port` may be a proxy's."""
        port = port or (self.imaps if tls else self.imap)
        context = self.ca.client_context if tls else None
        client = IMAPClient(self.host, port, ssl=tls, ssl_context=context, timeout=timeout)
        client.normalise_times = False
        try:
            client.login(user, PASSWORD)
        except (OSError, IMAPClient.Error):
            client.shutdown()
            raise
        return client

    def flags(self, user: str, folder: str = "INBOX") -> dict[int, set[str]]:
        """The flags of each mail by UID, as `\\Seen`, without `\\Recent`."""
        with self.imap_client(user) as client:
            client.select_folder(folder, readonly=True)
            found = cast("dict[int, tuple[bytes, ...]]", client.get_flags(client.search()))
        return {uid: {flag.decode() for flag in flags} - {"\\Recent"} for uid, flags in found.items()}

    def count(self, user: str, folder: str = "INBOX") -> int:
        """How many mails the folder holds; 0 if there is no such folder."""
        return self._status(user, folder, "MESSAGES")

    def uidvalidity(self, user: str, folder: str = "INBOX") -> int:
        """The folder's present UIDVALIDITY; 0 if there is no such folder."""
        return self._status(user, folder, "UIDVALIDITY")

    def change_uidvalidity(self, user: str, folder: str = "INBOX") -> None:
        """Lose all UIDs as after a restored backup: the same mails, numbered anew, another UIDVALIDITY.

        Kicks the user's sessions. Flags stay, since Maildir keeps them in the file names.
        """
        before = self.uidvalidity(user, folder)
        while int(time.time()) <= before:  # a UIDVALIDITY is the second in which it was given
            time.sleep(0.02)
        self.doveadm("kick", user)
        for pattern in ("dovecot-uidlist", "dovecot.index*"):
            for path in self.maildir(user, folder).glob(pattern):
                path.unlink()

    def doveadm(self, *arguments: str) -> str:
        """Run `doveadm` on this server; returns what it prints. "Nothing found" (68) is no error."""
        command = self._as_account("doveadm")
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=30, check=False)
        if done.returncode not in (0, 68):
            raise RuntimeError(f"doveadm {' '.join(arguments)}: {done.stderr or done.stdout}")
        return done.stdout

    def _prepare(self) -> None:
        # /tmp itself: other accounts can reach it, and names of Unix sockets are limited to 107 bytes.
        self.directory = Path(tempfile.mkdtemp(prefix="dovecot-", dir="/tmp"))
        self.directory.chmod(0o755)
        (self.directory / "mail").mkdir()
        self.ca_pem = self.ca.write(self.directory / "ca.pem")
        self.ca.issue().write(self.directory)
        self._conf = self.directory / "dovecot.conf"
        self._conf.write_text(configuration(self.directory, self._account, self.ports, PASSWORD) + self._extra)
        for path in (self.directory, *self.directory.iterdir()):
            self._own(path)

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            try:
                self.imap_client("readiness", timeout=2.0).logout()
                return
            except (OSError, IMAPClient.Error) as error:
                if time.monotonic() > deadline or self._process is None or self._process.poll() is not None:
                    message = f"Dovecot did not start ({error}):\n{self.log}"
                    self.stop()
                    raise RuntimeError(message) from error
            time.sleep(0.005)

    def _as_account(self, program: str, *arguments: str) -> list[str]:
        command = [_find(program), *arguments, "-c", str(self._conf)]
        if os.geteuid() != 0:
            return command
        ids = (f"--reuid={self._account.pw_uid}", f"--regid={self._account.pw_gid}")
        return [_find("setpriv"), *ids, "--init-groups", *command]

    def _own(self, path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(path, self._account.pw_uid, self._account.pw_gid)

    def _make_maildir(self, target: Path) -> None:
        missing = [p for p in (target, *target.parents) if not p.exists()]
        for path in (*reversed(missing), *(target / part for part in ("tmp", "cur", "new"))):
            path.mkdir(exist_ok=True)
            self._own(path)

    def _status(self, user: str, folder: str, item: str) -> int:
        with self.imap_client(user) as client:
            if not client.folder_exists(folder):
                return 0
            status = cast("dict[bytes, int]", client.folder_status(folder, [item]))
        return status[item.encode()]


def installed() -> bool:
    """Whether the programs are there (in `sbin`, which is not in everybody's search path)."""
    return bool(shutil.which("dovecot", path=_PATH) and shutil.which("doveadm", path=_PATH))


_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/bin"))


def _find(program: str) -> str:
    return shutil.which(program, path=_PATH) or program


def listens(port: int) -> bool:
    """Whether somebody accepts connections at this port of `HOST`."""
    with socket.socket() as sock:
        sock.settimeout(1)
        return sock.connect_ex((HOST, port)) == 0
