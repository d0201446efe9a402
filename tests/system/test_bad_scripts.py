"""Scripts that fail, mails that kill the reader, and a stop in the middle of it all: the others go on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import revscript
from tests.instance import imap_account, make_instance, rows, running, settled, wait_until
from tests.servers.dovecot import Dovecot
from tests.servers.mails import plain_mail

# What the mail's subject names is done, after a message form that must not remain.
SCRIPT = """\
def onEMail(mail):
    documents.incoming(mail)
    what = mail.subject.split()[0]
    if what == "raise":
        raise ValueError("so nicht")
    if what == "loop":
        while True:
            pass
    if what == "eat":
        data = "x" * 1_000_000_000
    if what == "print":
        for _ in range(100):
            print("x" * 1_000_000)
    if what == "nonsense":
        notify.all(["no", "text"])
    if what == "unknown":
        mail.nothing_of_the_kind
    return {"nonsense": mail}
"""
# By subject: how the runs end, the line at which they do, and words of the reason.
BAD = {
    "raise": ("failed", 5, "so nicht"),
    "loop": ("stopped", 8, "limit"),
    "eat": ("stopped", 10, "memory"),
    "print": ("stopped", 13, "output"),
    "nonsense": ("failed", 15, "text"),
    "unknown": ("failed", 17, "nothing_of_the_kind"),
}
SETTINGS: dict[str, Any] = {"tries": [0, 0.01, 0.02], "jail": {"wall": 1, "cpu": 1}}
GOOD = 20


def with_subject(number: int, subject: str) -> bytes:
    """A mail with another subject."""
    return plain_mail(number).replace(b"Subject: Meldung", f"Subject: {subject}".encode())


def test_bad_scripts_hold_up_nobody(tmp_path: Path, dovecot: Dovecot, mailbox_user: str) -> None:
    account = imap_account(dovecot, mailbox_user, methods={"script": True})
    instance = make_instance(tmp_path, {"a": account}, {"onEMail.py": SCRIPT}, SETTINGS)
    dovecot.deliver_many(mailbox_user, (with_subject(number, word) for number, word in enumerate(BAD)))
    dovecot.deliver_many(mailbox_user, (with_subject(number, "good") for number in range(GOOD)))
    quarantined = "SELECT count(*) FROM task WHERE state = 'quarantined'"
    with running(instance):
        wait_until(lambda: rows(instance, quarantined) == [(len(BAD),)], 60, "the bad ones are in quarantine")
        wait_until(lambda: settled(instance) == GOOD, 10, "the good ones are settled")

    runs = "SELECT mail_id, attempt, exit, trouble, reason FROM run JOIN task ON task.id = task_id WHERE mail_id <= ?"
    for mail_id, attempt, found, trouble, reason in rows(instance, f"{runs} AND task.state = 'quarantined'", len(BAD)):
        word = list(BAD)[mail_id - 1]
        exit_word, line, words = BAD[word]
        said = json.loads(trouble)
        assert (word, found, said["frames"][-1]) == (word, exit_word, [line, "onEMail"])
        assert words in reason
        assert f"(line {line})" in reason
        assert 1 <= attempt <= 3
    tried = "SELECT mail_id, count(*) FROM run JOIN task ON task.id = task_id GROUP BY mail_id ORDER BY mail_id"
    assert rows(instance, tried) == [
        (number, 3 if number <= len(BAD) else 1) for number in range(1, len(BAD) + GOOD + 1)
    ]

    # The good ones in their order, all before the last try of the bad ones.
    done = "SELECT mail_id, run.id FROM run JOIN task ON task.id = task_id WHERE task.state = 'done' ORDER BY run.id"
    order = rows(instance, done)
    assert [mail_id for mail_id, _ in order] == list(range(len(BAD) + 1, len(BAD) + GOOD + 1))
    last_tries = rows(instance, "SELECT min(run.id) FROM run WHERE attempt = 3")
    assert order[-1][1] < last_tries[0][0]

    assert rows(instance, "SELECT count(*) FROM message_form") == [(GOOD,)]
    problems = rows(instance, "SELECT count(*) FROM problem WHERE key LIKE 'quarantine:%'")
    assert problems == [(len(BAD),)]
    assert sum("\\Seen" in flags for flags in dovecot.flags(mailbox_user).values()) == GOOD


def test_mail_that_kills_the_reader(tmp_path: Path, dovecot: Dovecot, mailbox_user: str) -> None:
    """Four million lines of one letter are more than the reader may keep: a form with the header comes at once."""
    bomb = plain_mail(1) + b"a\n" * 4_000_000
    account = imap_account(dovecot, mailbox_user, methods={"document": True, "script": True})
    script = "def onEMail(mail):\n    notify.all(mail.subject)\n"
    settings = {"tries": [0, 60, 600]}
    instance = make_instance(tmp_path, {"a": account}, {"onEMail.py": script}, settings)
    dovecot.deliver_many(mailbox_user, [bomb, *map(plain_mail, range(2, 22))])
    with running(instance):
        wait_until(lambda: settled(instance) == 21, 60, "all mails are settled")
    assert rows(instance, "SELECT mail_id, subject FROM reading WHERE fallback") == [(1, "Meldung 1")]
    forms = rows(instance, "SELECT subject, sender_address FROM message_form ORDER BY id")
    assert forms[0] == ("Meldung 1", "absender1@firma.example")
    assert [subject for subject, _ in forms] == [f"Meldung {number}" for number in range(1, 22)]
    assert rows(instance, "SELECT max(attempts), count(*) FROM task WHERE state = 'done'") == [(1, 42)]
    assert rows(instance, "SELECT count(*) FROM notice") == [(21,)]
    [(what,)] = rows(instance, "SELECT what FROM problem WHERE key = 'unreadable:1'")
    assert "3 times" in what
    assert "memory limit" in what


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_clean_stop_in_the_middle(number: signal.Signals, tmp_path: Path, dovecot: Dovecot, mailbox_user: str) -> None:
    """Within 5 s, although a script loops; its try does not count. A second host is refused meanwhile."""
    scripts = {"onEMail.py": SCRIPT, "slow.py": "def onEMail(mail):\n    documents.incoming(mail)\n"}
    accounts = {
        "looping": imap_account(dovecot, f"{mailbox_user}-looping", methods={"script": True}),
        "other": imap_account(dovecot, f"{mailbox_user}-other", methods={"script": {"file": "slow.py"}}),
    }
    instance = make_instance(tmp_path, accounts, scripts, {"jail": {"wall": 60, "cpu": 60}})
    dovecot.deliver_many(f"{mailbox_user}-looping", [with_subject(0, "good"), with_subject(1, "loop"), plain_mail(2)])
    dovecot.deliver_many(f"{mailbox_user}-other", map(plain_mail, range(500)))
    looping = "SELECT count(*) FROM task WHERE state = 'running' AND account = 'looping' AND mail_id > 1"
    command = [sys.executable, "-m", "revscript", "run", "--instance", tmp_path]
    log = tmp_path / "log"
    with log.open("wb") as output, subprocess.Popen(command, stderr=output) as host:
        try:
            wait_until(lambda: '"started"' in log.read_text(), 30, "the host has started")
            wait_until(lambda: settled(instance) > 20 and rows(instance, looping) == [(1,)], 30, "the script loops")
            second = revscript("run", cwd=tmp_path)
            assert (second.code, "a host runs here already" in second.err) == (2, True)
            started = time.monotonic()
            host.send_signal(number)
            assert host.wait(10) == 0
            assert time.monotonic() - started < 5
        finally:
            host.kill()
    assert rows(instance, "SELECT count(*) FROM task WHERE state = 'running' OR interruptions > 0") == [(0,)]
    waiting = "SELECT state, attempts FROM task WHERE account = 'looping' ORDER BY mail_id"
    assert rows(instance, waiting) == [("done", 1), ("waiting", 0), ("waiting", 0)]
    assert rows(instance, "SELECT count(*) FROM run WHERE exit <> 'done'") == [(0,)]

    done = rows(instance, "SELECT count(*) FROM mail WHERE state = 'done'")[0][0]
    assert done < 503, "it was to be stopped in the middle"
    make_instance(tmp_path, {}, {"onEMail.py": scripts["slow.py"]})
    with running(instance):
        wait_until(lambda: settled(instance) == 503, 60, "all mails are settled", pause=0.1)
    assert rows(instance, "SELECT DISTINCT state, attempts FROM task") == [("done", 1)]
    assert rows(instance, "SELECT count(*) FROM message_form") == [(503,)]
