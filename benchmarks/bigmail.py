"""A 45 MB mail: how much memory the host and its children take, and how long others wait for the database meanwhile.

Memory is the sum of the proportional set sizes (PSS) of the host, the zygote and all children, sampled while the mail
goes all its way (form and folder item with the 33 MB attachment). The wait is that of a small write of somebody else,
tried every 5 ms, beside the same writes on an idle host.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from revscript.host import Host
from revscript.store.schema import meta
from tests.instance import imap_account, make_instance, running, settled, wait_until
from tests.servers.ca import CertificateAuthority
from tests.servers.dovecot import Dovecot
from tests.servers.mails import Attachment, alarm_mail

ATTACHMENT = 33_000_000  # bytes; 45 MB as base64 with its line ends
METHODS = {"methods": {"document": True, "mission_folder": True}}
MIB = 1 << 20


def big_mail() -> bytes:
    """An alarm with one large attachment."""
    film = Attachment("film.bin", os.urandom(ATTACHMENT))
    return alarm_mail(number="T 1", keyword="B 3", place="Musterstadt", attachments=[film])


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for parent in found:
        try:
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue
    return found


def pss(pids: list[int]) -> int:
    """Their proportional set sizes together, in bytes."""
    total = 0
    for pid in pids:
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) * 1024
    return total


def memory(dovecot: Dovecot, folder: Path) -> tuple[int, int]:
    """Bytes of the idle host, and at its peak with the big mail."""
    instance = make_instance(folder, {"a": imap_account(dovecot, "memory", **METHODS)})
    host = subprocess.Popen(
        [sys.executable, "-m", "revscript", "run", "--instance", str(folder)], stderr=subprocess.DEVNULL
    )
    try:
        wait_until((instance.data / "revscript.db").exists, 20, "the host's start")
        time.sleep(2)
        idle = peak = pss(family(host.pid))
        dovecot.deliver("memory", big_mail())
        until = time.monotonic() + 120
        while settled(instance) < 1 and time.monotonic() < until:
            peak = max(peak, pss(family(host.pid)))
            time.sleep(0.01)
        assert settled(instance) == 1, "the big mail did not come through"
        return idle, peak
    finally:
        host.terminate()
        host.wait(10)


def waits(host: Host, busy: Callable[[], bool]) -> list[float]:
    """Milliseconds that a small write waited, tried every 5 ms as long as `busy`."""
    found: list[float] = []
    while busy():
        started = time.perf_counter()
        with host.stores.database.write() as tx:
            tx.execute(meta.update().where(meta.c.name == "bench").values(value="x"))
        found.append((time.perf_counter() - started) * 1000)
        time.sleep(0.005)
    return found


def main() -> None:
    """Print memory and waits."""
    with tempfile.TemporaryDirectory() as name, Dovecot(CertificateAuthority()) as dovecot:
        folder = Path(name)
        idle, peak = memory(dovecot, folder / "memory")
        print(f"memory (PSS) of host and children: idle {idle / MIB:.0f} MiB, with the big mail {peak / MIB:.0f} MiB")
        instance = make_instance(folder / "waits", {"a": imap_account(dovecot, "waits", **METHODS)})
        with running(instance) as host:
            time.sleep(1)
            end = time.monotonic() + 3
            quiet = waits(host, lambda: time.monotonic() < end)
            deliverer = threading.Timer(0.1, dovecot.deliver, ["waits", big_mail()])
            deliverer.start()
            started = time.monotonic()
            beside = waits(host, lambda: settled(instance) < 1 and time.monotonic() - started < 120)
        for words, found in (("idle", quiet), ("beside the big mail", beside)):
            p99 = statistics.quantiles(found, n=100)[98]
            middle, longest = statistics.median(found), max(found)
            print(f"a small write, {words}: median {middle:.2f} ms, p99 {p99:.1f}, longest {longest:.1f}")
        print(f"longest wait: {max(beside) / max(quiet):.1f} times that of the idle host (aim: at most 50 ms)")


if __name__ == "__main__":
    main()
