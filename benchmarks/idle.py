"""What idle mailboxes cost: memory and processor time of one host with many accounts, each idling over TLS.

Baseline: the same number of bare imapclient connections that idle in one thread, in a process of its own. Memory is the
growth of the process's PSS (proportional set size) from one account to all; processor time is over quiet seconds with
the ordinary settings, so that safety searches and notes of health are in it.
"""

from __future__ import annotations

import resource
import select
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from imapclient import IMAPClient

from revscript.snapshot import Instance
from tests.instance import make_instance, rows, running, wait_until
from tests.servers.ca import CertificateAuthority
from tests.servers.dovecot import PASSWORD, Dovecot

QUIET = 130.0  # s: two looks of each mailbox at the default interval
SETTLE = 5.0  # s until what the start has left behind is over


def pss_kib() -> int:
    """Proportional set size of this process, in KiB."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise OSError("the kernel does not tell the proportional set size")


def cpu_seconds() -> float:
    """Processor time of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def report(what: str, count: int, before: int, quiet: float) -> None:
    """Measure the quiet time, and print both figures."""
    memory = (pss_kib() - before) / (count - 1)
    started, used = time.monotonic(), cpu_seconds()
    time.sleep(quiet)
    share = (cpu_seconds() - used) / (time.monotonic() - started)
    print(f"{what}: {memory:.0f} KiB for each of {count}, {share * 100:.2f} % of a core over {quiet:.0f} s", flush=True)


def instance(folder: Path, accounts: dict[str, dict[str, Any]]) -> Instance:
    """An instance whose passwords lie in its secrets."""
    made = make_instance(folder, accounts, {"onEMail.py": "def onEMail(mail): pass\n"}, {"web": {"enabled": False}})
    made.secrets.mkdir()
    (made.secrets / "mail").write_text(PASSWORD)
    (made.secrets / "mail").chmod(0o600)
    return made


def ours(count: int, imap_port: int, ca_pem: Path, quiet: float) -> None:
    """The host with `count` accounts."""
    account = {
        "address": "post@post.example",
        "receiving": {"protocol": "imap", "host": "localhost", "port": imap_port},
        "ca_file": str(ca_pem),
        "methods": {"script": True},
    }
    accounts = {
        f"a{number}": account
        | {"authentication": {"method": "password", "username": f"idle{number}", "password": "secret:mail"}}
        for number in range(count)
    }
    query = "SELECT count(*) FROM mailbox WHERE mode = 'push'"
    with tempfile.TemporaryDirectory() as name:
        one = instance(Path(name) / "one", {"a0": accounts["a0"]})
        with running(one):
            wait_until(lambda: rows(one, query)[0][0] == 1, 30, "it idles")
            time.sleep(SETTLE)
            before = pss_kib()
        many = instance(Path(name) / "many", accounts)
        with running(many):
            wait_until(lambda: rows(many, query)[0][0] == count, 120, "all idle", pause=0.5)
            time.sleep(SETTLE)
            report("revscript", count, before, quiet)


def bare(count: int, imap_port: int, ca_pem: Path, quiet: float) -> None:
    """Plain imapclient connections, waited for with one poll."""
    context = ssl.create_default_context(cafile=str(ca_pem))
    poll = select.poll()
    clients: list[IMAPClient] = []
    before = 0
    for number in range(count):
        client = IMAPClient("localhost", imap_port, ssl=False, timeout=30)
        client.starttls(context)
        client.login(f"bare{number}", PASSWORD)
        client.select_folder("INBOX")
        client.idle()
        poll.register(client.socket(), select.POLLIN)
        clients.append(client)
        if number == 0:
            time.sleep(1)
            before = pss_kib()
    report("bare imapclient", count, before, quiet)


def main(count: int = 200, quiet: float = QUIET) -> None:
    """Run both, each in a process of its own, one after the other."""
    with Dovecot(CertificateAuthority()) as dovecot:
        for which in ("bare", "ours"):
            command = [sys.executable, "-m", "benchmarks.idle", which, str(count), str(quiet)]
            subprocess.run([*command, str(dovecot.imap), str(dovecot.ca_pem)], check=True)
    print("aim: at most 100 KiB each, less than 2 % of a core in all")


if __name__ == "__main__":
    if sys.argv[1:2] in (["bare"], ["ours"]):
        which, count, quiet, port, pem = sys.argv[1:]
        {"bare": bare, "ours": ours}[which](int(count), int(port), Path(pem), float(quiet))
    else:
        main(*(int(argument) for argument in sys.argv[1:]))
