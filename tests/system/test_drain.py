"""Full mailboxes are drained: each mail once, in its order; alarms in two mailboxes alarm once."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.instance import imap_account, make_instance, rows, running, settled, smtp, wait_until
from tests.servers import free_ports
from tests.servers.dovecot import Dovecot
from tests.servers.fault_proxy import FaultProxy
from tests.servers.mails import Attachment, alarm_mail
from tests.servers.smtp_sink import SmtpSink

SCRIPT = """
def onEMail(mail):
    documents.incoming(mail, subject=mail.subject)
    notify.all(mail.subject, level="alarm")
    for mission in missions.running():
        mission.folder.add(mail)
"""
UPSERT = """
def onEMail(mail):
    number = mail.subject.partition(":")[0]
    mission, change = missions.upsert(number, keyword="B 3")
    if change.created:
        notify.all(f"neu: {number}", level="alarm", about=mission)
"""
SENDS = """
def onEMail(mail):
    documents.incoming(mail)
    send_mail("stab@post.example", mail.subject, mail.text)
"""
OPEN = """
def onEMail(mail):
    missions.open("Hochwasser")
"""
_FACTS = """
SELECT subject, mail.state, settle,
  (SELECT count(*) FROM form_source WHERE mail_id = mail.id),
  (SELECT count(*) FROM notice WHERE mail_id = mail.id),
  (SELECT count(*) FROM folder_item WHERE mail_id = mail.id),
  (SELECT count(*) FROM applied_effect WHERE mail_id = mail.id)
FROM mail JOIN reading ON reading.mail_id = mail.id
"""


@contextmanager
def silent(host: str, port: int) -> Generator[FaultProxy]:
    """A way to a server on which everything gets lost."""
    with FaultProxy(host, port) as proxy:
        proxy.blackhole()
        yield proxy


def subject(number: int) -> str:
    """The subject of an alarm."""
    return f"Einsatz {number:04}: B 3, Musterstadt"


def alarm(number: int, data: bytes | None = None) -> bytes:
    """An alarm with its number and a file."""
    files = [] if data is None else [Attachment("lage.bin", data)]
    return alarm_mail(number=f"{number:04}", keyword="B 3", place="Musterstadt", attachments=files)


@pytest.mark.parametrize("count", [300, pytest.param(1000, marks=pytest.mark.soak)])
def test_each_mail_once(count: int, tmp_path: Path, dovecot: Dovecot, mailbox_user: str) -> None:
    account = imap_account(dovecot, mailbox_user, methods={"script": True})
    instance = make_instance(tmp_path, {"a": account}, {"onEMail.py": OPEN})
    dovecot.deliver(mailbox_user, alarm(0))
    with running(instance):
        wait_until(lambda: settled(instance) == 1, 20, "the mission is open")
    make_instance(tmp_path, {}, {"onEMail.py": SCRIPT})
    dovecot.deliver_many(mailbox_user, (alarm(number, f"{number}".encode()) for number in range(1, count + 1)))
    with running(instance):
        wait_until(lambda: settled(instance) == count + 1, 300, "all mails are settled", pause=0.2)
    found = rows(instance, f"{_FACTS} ORDER BY mail.id")
    assert found[1:] == [(subject(number), "done", "settled", 1, 1, 1, 3) for number in range(1, count + 1)]
    assert set(map(frozenset, dovecot.flags(mailbox_user).values())) == {frozenset({"\\Seen"})}
    for table in ("message_form", "notice", "folder_item"):
        assert rows(instance, f"SELECT count(*) FROM {table}") == [(count,)]
    registered = rows(instance, "SELECT register_no, subject FROM message_form ORDER BY id")
    assert registered == [(number, subject(number)) for number in range(1, count + 1)]
    ran = rows(instance, "SELECT mail_id FROM run JOIN task ON task.id = task_id ORDER BY run.id")
    assert ran == [(number,) for number in range(1, count + 2)]


def test_same_alarms_in_two_mailboxes(tmp_path: Path, dovecot: Dovecot, mailbox_user: str) -> None:
    """Whichever account is first: the alarm is new once, and known to the other one."""
    alarms = [alarm(number) for number in range(200)]
    accounts: dict[str, dict[str, object]] = {}
    for name in ("a", "b"):
        dovecot.deliver_many(f"{mailbox_user}-{name}", alarms)
        accounts[name] = imap_account(dovecot, f"{mailbox_user}-{name}", methods={"script": True})
    instance = make_instance(tmp_path, accounts, {"onEMail.py": UPSERT})
    with running(instance):
        wait_until(lambda: settled(instance) == 400, 120, "all mails are settled", pause=0.2)
    numbers = [(f"Einsatz {number:04}",) for number in range(200)]
    assert rows(instance, "SELECT number FROM mission ORDER BY number") == numbers
    opened = (
        "SELECT number FROM mission_entry JOIN mission ON mission.id = mission_id WHERE mission_entry.kind = 'opened'"
    )
    assert sorted(rows(instance, opened)) == numbers
    notices = rows(instance, "SELECT text, level, updates FROM notice ORDER BY text")
    assert notices == [(f"neu: {number}", "alarm", 0) for (number,) in numbers]
    exits = rows(instance, "SELECT exit, count(*) FROM run GROUP BY exit")
    assert exits == [("done", 400)]


def test_large_mail(tmp_path: Path, dovecot: Dovecot, mailbox_user: str) -> None:
    """45 MB, of which 33 MB are a film: form and folder hold it byte by byte."""
    film = random.Random(45).randbytes(33_000_000)
    account = imap_account(dovecot, mailbox_user, methods={"document": True, "mission_folder": True})
    instance = make_instance(tmp_path, {"a": account})
    mail = alarm(1, film)
    assert len(mail) > 44_000_000
    dovecot.deliver(mailbox_user, mail)
    with running(instance):
        wait_until(lambda: settled(instance) == 1, 60, "the large mail is settled", pause=0.1)
    digest = hashlib.sha256(film).hexdigest()
    for table in ("form_attachment", "folder_item"):
        [(blob_id, sha256)] = rows(instance, f"SELECT blob_id, sha256 FROM {table} JOIN blob ON blob.id = blob_id")
        pieces = rows(instance, "SELECT data FROM blob_chunk WHERE blob_id = ? ORDER BY seq", blob_id)
        assert b"".join(data for (data,) in pieces) == film
        assert sha256 == digest
    assert rows(instance, "SELECT fallback FROM reading") == [(0,)]


def test_bad_neighbours(tmp_path: Path, dovecot: Dovecot, mailbox_user: str, smtp_sink: SmtpSink) -> None:
    """A mailbox that does not answer and an SMTP server that swallows everything hold up nobody else."""
    for number in range(60):
        dovecot.deliver(f"{mailbox_user}-healthy", alarm(number))
    for number in range(5):
        dovecot.deliver(f"{mailbox_user}-hole", alarm(number))
    with silent(dovecot.host, dovecot.imaps) as dead, silent(smtp_sink.host, smtp_sink.port) as hole:
        accounts = {
            "healthy": imap_account(
                dovecot, f"{mailbox_user}-healthy", methods={"script": True}, sending=smtp(smtp_sink.port)
            ),
            "dead": imap_account(dovecot, "dead", methods={"script": True}, receiving={"port": dead.port}),
            "nobody": imap_account(dovecot, "nobody", methods={"script": True}, receiving={"port": free_ports(1)[0]}),
            "hole": imap_account(dovecot, f"{mailbox_user}-hole", methods={"script": True}, sending=smtp(hole.port)),
        }
        instance = make_instance(tmp_path, accounts, {"onEMail.py": SENDS})
        with running(instance):
            wait_until(lambda: settled(instance) == 65, 60, "all mails are settled", pause=0.1)
            assert len(smtp_sink.wait_for(60, 20)) == 60
            assert dead.accepted >= 1
            wait_until(lambda: hole.accepted >= 1, 10, "the black hole was tried")
            problems = {key for (key,) in rows(instance, "SELECT key FROM problem")}
            assert "mailbox:nobody" in problems
    acts = "SELECT account, act.state, count(*) FROM act JOIN mail ON mail.id = mail_id GROUP BY 1, 2 ORDER BY 1"
    assert rows(instance, acts) == [("healthy", "sent", 60), ("hole", "pending", 5)]
