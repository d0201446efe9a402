"""What bad neighbours cost a healthy account: the time from delivery to the committed effect, with and without them.

Neighbours: an account whose server does not answer, and one whose outgoing mail goes into a black hole.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.instance import imap_account, make_instance, rows, running, smtp, wait_until
from tests.servers.ca import CertificateAuthority
from tests.servers.dovecot import Dovecot
from tests.servers.fault_proxy import FaultProxy
from tests.servers.mails import alarm_mail
from tests.servers.smtp_sink import SmtpSink

SCRIPT = """
def onEMail(mail):
    documents.incoming(mail, priority="sofort")
    notify.all(mail.subject, level="alarm")
"""
SENDS = """
def onEMail(mail):
    send_mail("stab@post.example", "Kopie", mail.text)
"""


def latencies(folder: Path, dovecot: Dovecot, user: str, count: int, others: dict[str, dict[str, Any]]) -> list[float]:
    """Milliseconds from delivery to the commit, mail by mail."""
    healthy = imap_account(dovecot, user, methods={"script": True}, receiving={"interval": 0.005})
    instance = make_instance(folder, {"healthy": healthy, **others}, {"onEMail.py": SCRIPT, "sends.py": SENDS})
    found: list[float] = []
    query = "SELECT count(*) FROM applied_effect WHERE effect = 'notify'"
    with running(instance):
        time.sleep(1)
        for number in range(count):
            started = time.perf_counter()
            dovecot.deliver(user, alarm_mail(number=f"T {number}", keyword="B 3", place="Musterstadt"))
            wait_until(lambda done=number: rows(instance, query)[0][0] > done, 30, "the effect", pause=0.005)
            found.append((time.perf_counter() - started) * 1000)
    return found


def main(count: int = 100) -> None:
    """Print both p95 and their ratio."""
    with (
        tempfile.TemporaryDirectory() as name,
        Dovecot(CertificateAuthority()) as dovecot,
        SmtpSink() as sink,
        FaultProxy(dovecot.host, dovecot.imaps) as dead,
        FaultProxy(sink.host, sink.port) as hole,
    ):
        dead.blackhole()
        hole.blackhole()
        for number in range(20):
            dovecot.deliver("sender", alarm_mail(number=f"S {number}", keyword="B 1", place="Musterdorf"))
        sends = {"sending": smtp(hole.port), "methods": {"script": {"file": "sends.py"}}}
        others = {
            "dead": imap_account(dovecot, "dead", receiving={"port": dead.port}, methods={"script": True}),
            "hole": imap_account(dovecot, "sender", **sends),
        }
        alone = latencies(Path(name) / "alone", dovecot, "alone", count, {})
        beside = latencies(Path(name) / "beside", dovecot, "beside", count, others)
    p95 = [statistics.quantiles(found, n=20)[18] for found in (alone, beside)]
    print(f"alone: median {statistics.median(alone):.0f} ms, p95 {p95[0]:.0f} ms")
    print(
        f"beside a dead mailbox and a black-holed SMTP server: median {statistics.median(beside):.0f} ms, "
        f"p95 {p95[1]:.0f} ms"
    )
    print(f"p95 beside / alone: {p95[1] / p95[0]:.2f} (aim: at most 1.20)")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
