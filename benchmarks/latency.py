"""From the server's announcement of a mail to the committed effect: plain-text mails and HTML mails, one by one.

A forwarder in a process of its own stands between the host and Dovecot (clear text on the loopback) and notes when
`* n EXISTS` passes; the host's bell tells when the mail's tasks are done, right after their commit. (Dovecot itself
announces half a second after the delivery; that is not counted.)
"""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from queue import Queue
from typing import IO

from benchmarks.drain import fsync_ms
from tests.instance import imap_account, make_instance, rows, running, wait_until
from tests.servers import HOST
from tests.servers.ca import CertificateAuthority
from tests.servers.dovecot import Dovecot
from tests.servers.mails import alarm_mail

SCRIPT = """
def onEMail(mail):
    documents.incoming(mail, subject=mail.subject, priority="sofort")
    notify.all(f"Alarm: {mail.subject}", level="alarm")
"""
WARM_UP = 10  # mails that are not counted


def html_mail(number: int) -> bytes:
    """An alarm as HTML only, with a table, as control centres send it."""
    lines = "".join(f"<tr><td>Einsatzmittel {i}</td><td>Florian Musterstadt 40/{i}</td></tr>" for i in range(20))
    mail = EmailMessage(policy=SMTP)
    mail["From"] = "ILS Musterland <leitstelle@ils-musterland.example>"
    mail["To"] = "alarm@tel-musterstadt.example"
    mail["Subject"] = f"Einsatz H {number}: B 3, Musterstadt"
    mail["Message-ID"] = f"<html-{number}@ils-musterland.example>"
    mail.set_content(f"<html><body><h1>Alarm {number}</h1><table>{lines}</table></body></html>", subtype="html")
    return mail.as_bytes()


def text_mail(number: int) -> bytes:
    """An alarm as plain text."""
    return alarm_mail(number=f"T {number}", keyword="B 3", place="Musterstadt")


def forward(target: int) -> None:
    """Print the port, then the time of each announcement that passes."""
    with socket.create_server((HOST, 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            client, _ = listener.accept()
            server = socket.create_connection((HOST, target))
            for sock in (client, server):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for pump, source, sink in ((_up, client, server), (_down, server, client)):
                threading.Thread(target=pump, args=(source, sink), daemon=True).start()


def _up(source: socket.socket, sink: socket.socket) -> None:
    while data := source.recv(65_536):
        sink.sendall(data)


def _down(source: socket.socket, sink: socket.socket) -> None:
    while data := source.recv(65_536):
        now = time.monotonic()
        sink.sendall(data.replace(b"STARTTLS", b"XSTARTTL"))
        if b" EXISTS\r\n" in data:
            print(now, flush=True)


def _note(lines: IO[str], announced: Queue[float]) -> None:
    for line in lines:
        announced.put(float(line))


@dataclass(frozen=True, slots=True)
class Taken:
    """Milliseconds from a mail's announcement until it was durable here, and until its effects were committed."""

    received: float
    done: float


def _empty(*queues: Queue[float]) -> None:
    for queue in queues:
        while not queue.empty():
            queue.get()


def measure(folder: Path, dovecot: Dovecot, user: str, count: int, mail: Callable[[int], bytes]) -> list[Taken]:
    """One mail after the other."""
    command = [sys.executable, "-m", "benchmarks.latency", "forward", str(dovecot.imap)]
    forwarder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert forwarder.stdout
    port = int(forwarder.stdout.readline())
    announced: Queue[float] = Queue()
    received: Queue[float] = Queue()
    finished: Queue[float] = Queue()

    threading.Thread(target=_note, args=(forwarder.stdout, announced), daemon=True).start()
    account = imap_account(dovecot, user, methods={"script": True}, receiving={"port": port, "interval": 60})
    settings = {"web": {"enabled": False}, "push": {"safety_search": 3600}}
    instance = make_instance(folder, {"a": account}, {"onEMail.py": SCRIPT}, settings)
    found: list[Taken] = []
    with running(instance) as host:
        host.bell.listen("received", lambda _: received.put(time.monotonic()))
        host.bell.listen("finished", lambda _: finished.put(time.monotonic()))
        wait_until(lambda: rows(instance, "SELECT mode FROM mailbox") == [("push",)], 30, "it idles")
        time.sleep(1)
        _empty(announced, received, finished)
        for number in range(count + WARM_UP):
            dovecot.deliver(user, mail(number))
            begun = announced.get(timeout=30)
            durable, done = received.get(timeout=30), finished.get(timeout=30)
            found.append(Taken((durable - begun) * 1000, (done - begun) * 1000))
            _empty(received, finished)
    forwarder.kill()
    forwarder.wait()
    forwarder.stdout.close()
    assert rows(instance, "SELECT count(*) FROM notice")[0][0] == count + WARM_UP
    return found[WARM_UP:]


def main(count: int = 300) -> None:
    """Print p50 and p99 of both kinds."""
    with tempfile.TemporaryDirectory() as name, Dovecot(CertificateAuthority()) as dovecot:
        folder = Path(name)
        print(f"fdatasync of this disk: {fsync_ms(folder):.2f} ms")
        for kind, mail in (("plain text", text_mail), ("HTML", html_mail)):
            taken = measure(folder / kind, dovecot, kind.split()[0].lower(), count, mail)
            found = sorted(one.done for one in taken)
            p99 = found[min(len(found) - 1, round(len(found) * 0.99))]
            receipt = statistics.median(one.received for one in taken)
            print(
                f"{kind}: p50 {statistics.median(found):.1f} ms, p99 {p99:.1f} ms, slowest {found[-1]:.1f} ms; "
                f"durable after {receipt:.1f} ms (median)",
                flush=True,
            )
    print("aim: at most 20 / 100 ms for plain text")


if __name__ == "__main__":
    if sys.argv[1:2] == ["forward"]:
        forward(int(sys.argv[2]))
    else:
        main(*(int(argument) for argument in sys.argv[1:]))
