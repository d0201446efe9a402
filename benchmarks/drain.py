"""How fast a full mailbox is drained, as a ratio to the least that any careful program must do.

Baseline: imapclient, one by one: fetch, one fsync'd SQLite commit, mark as seen. revscript: receive, read in the jail,
run a script that files a form, sends a notice and adds a folder item, commit, settle. Same server, disk and run.
"""

from __future__ import annotations

import os
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import cast

from imapclient import SEEN

from tests.instance import imap_account, make_instance, rows, running, settled, wait_until
from tests.servers.ca import CertificateAuthority
from tests.servers.dovecot import Dovecot
from tests.servers.mails import Attachment, alarm_mail

SIZE = 20_000  # bytes
SCRIPT = """
def onEMail(mail):
    documents.incoming(mail, subject=mail.subject, priority="sofort")
    notify.all(f"Alarm: {mail.subject}", level="alarm")
    for mission in missions.running():
        mission.folder.add(mail)
"""
OPENED = """
def onEMail(mail):
    missions.upsert("4711", keyword="B 3")
"""


def fsync_ms(folder: Path) -> float:
    """Median time of an fdatasync of 8 KiB on this disk."""
    times: list[float] = []
    descriptor = os.open(folder / "fsync", os.O_CREAT | os.O_WRONLY)
    for _ in range(200):
        os.write(descriptor, b"x" * 8192)
        started = time.perf_counter()
        os.fdatasync(descriptor)
        times.append(time.perf_counter() - started)
    os.close(descriptor)
    return statistics.median(times) * 1000


def mails(count: int) -> list[bytes]:
    """Different alarm mails with a small attachment, `SIZE` bytes each."""
    plan = Attachment("plan.txt", b"Plan\n" * 100, "text/plain")
    return [
        alarm_mail(number=f"T {number}", keyword="B 3", place="Musterstadt", size=SIZE, attachments=[plan])
        for number in range(count)
    ]


def baseline(dovecot: Dovecot, count: int, folder: Path) -> float:
    """Mails per second of the bare loop."""
    dovecot.deliver_many("bare", mails(count))
    store = sqlite3.connect(folder / "bare.db", isolation_level=None)
    store.execute("PRAGMA journal_mode=WAL")
    store.execute("PRAGMA synchronous=FULL")
    store.execute("CREATE TABLE mail (uid INTEGER PRIMARY KEY, raw BLOB)")
    client = dovecot.imap_client("bare")
    client.select_folder("INBOX")
    started = time.perf_counter()
    for uid in client.search("UNSEEN"):
        raw = cast("bytes", client.fetch([uid], ["BODY.PEEK[]"])[uid][b"BODY[]"])
        store.execute("BEGIN IMMEDIATE")
        store.execute("INSERT INTO mail VALUES (?, ?)", [uid, raw])
        store.execute("COMMIT")
        client.add_flags([uid], [SEEN], silent=True)
    elapsed = time.perf_counter() - started
    client.logout()
    store.close()
    return count / elapsed


def drain(dovecot: Dovecot, count: int, folder: Path) -> float:
    """Mails per second of the host, from its start to the last mail settled."""
    methods = {"methods": {"script": True}}
    instance = make_instance(folder, {"a": imap_account(dovecot, "full", **methods)}, {"onEMail.py": OPENED})
    dovecot.deliver("full", mails(1)[0])
    with running(instance):
        wait_until(lambda: settled(instance) == 1, 10, "the first mail settled")
    dovecot.deliver_many("full", mails(count))
    make_instance(folder, {}, {"onEMail.py": SCRIPT})
    started = time.perf_counter()
    with running(instance):
        wait_until(lambda: settled(instance) == count + 1, 600, "all mails settled", pause=0.2)
        elapsed = time.perf_counter() - started
    made = {table: rows(instance, f"SELECT count(*) FROM {table}")[0][0] for table in ("message_form", "notice")}
    assert made == {"message_form": count, "notice": count}, made
    return count / elapsed


def main(count: int = 1000) -> None:
    """Print both speeds and their ratio."""
    with tempfile.TemporaryDirectory() as name, Dovecot(CertificateAuthority()) as dovecot:
        folder = Path(name)
        print(f"fdatasync of this disk: {fsync_ms(folder):.2f} ms")
        bare = baseline(dovecot, count, folder)
        print(f"bare imapclient loop: {bare:.0f} mails/s")
        ours = drain(dovecot, count, folder / "instance")
        print(f"revscript: {ours:.0f} mails/s; the bare loop is {bare / ours:.2f} times as fast (aim: at most 2)")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
