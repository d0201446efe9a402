"""Scripts that fail, mails that kill the reader, and a stop in the middle of it all: the others go on."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

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
    if what == "nonsense":
        notify.all(["no", "text"])
    if what == "unknown":
        mail.nothing_of_the_kind
    if what == "print":
        for _ in range(100):
            print("x" * 1_000_000)
    return {"nonsense": mail}
"""
# By subject: how the runs end, the line at which they do, and words of the reason.
BAD: dict[str, tuple[str, int, str]] = {
    "raise": ("failed", 5, "so nicht"),
    "loop": ("stopped", 7, "limit"),
    "eat": ("stopped", 10, "memory"),
    "nonsense": ("failed", 12, "text: a list was given"),
    "unknown": ("failed", 14, "nothing_of_the_kind"),
}
SETTINGS: dict[str, Any] = {"tries": [0, 0.01, 0.02], "jail": {"wall": 1, "cpu": 1}}
WORDS = [*BAD, "print", *["good"] * 20]  # what prints 100 MB is cut short, and no failure
GOOD = list(range(len(BAD) + 1, len(WORDS) + 1))


def with_subject(number: int, subject: str) -> bytes:
    """A mail with another subject."""
    return plain_mail(number).replace(b"Subject: Meldung", f"Subject: {subject}".encode())


def test_bad_scripts_hold_up_nobody(tmp_path: Path, dovecot: Dovecot, mailbox_user: str) -> None:
    account = imap_account(dovecot, mailbox_user, methods={"script": True})
    instance = make_instance(tmp_path, {"a": account}, {"onEMail.py": SCRIPT}, SETTINGS)
    dovecot.deliver_many(mailbox_user, (with_subject(number, word) for number, word in enumerate(WORDS)))
    quarantined = "SELECT count(*) FROM task WHERE state = 'quarantined'"
    with running(instance):
        wait_until(lambda: rows(instance, quarantined) == [(len(BAD),)], 60, "the bad ones are in quarantine")
        wait_until(lambda: settled(instance) == len(GOOD), 10, "the good ones are settled")

    tries = "SELECT mail_id, attempt, run.exit, trouble, reason, log FROM run JOIN task ON task.id = task_id "
    expected: list[tuple[int, int]] = []
    for mail_id, word in enumerate(BAD, start=1):
        exit_word, line, words = BAD[word]
        expected += [(mail_id, attempt) for attempt in (1, 2, 3)]
        for _, _, found, trouble, reason, _ in rows(instance, f"{tries} WHERE mail_id = ?", mail_id):
            assert (found, json.loads(trouble)["frames"]) == (exit_word, [[line, "onEMail"]])
            assert words in reason
            assert f"(line {line})" in reason
    failed = rows(instance, f"{tries} WHERE task.state = 'quarantined' ORDER BY mail_id, attempt")
    assert [(mail_id, attempt) for mail_id, attempt, *_ in failed] == expected

    # The good ones in their order, all before the last try of the bad ones.
    done = "SELECT mail_id, run.id FROM run JOIN task ON task.id = task_id WHERE task.state = 'done' ORDER BY run.id"
    order = rows(instance, done)
    assert [mail_id for mail_id, _ in order] == GOOD
    assert order[-1][1] < rows(instance, "SELECT min(id) FROM run WHERE attempt = 3")[0][0]
    [(_, attempt, _, _, _, said)] = rows(instance, f"{tries} WHERE mail_id = ?", GOOD[0])
    assert (attempt, json.loads(said)[-1]) == (1, "… further log lines dropped")
    assert len(said) < 100_000

    assert rows(instance, "SELECT mail_id FROM form_source ORDER BY mail_id") == [(number,) for number in GOOD]
    problems = rows(instance, "SELECT key FROM problem WHERE key LIKE 'quarantine:%' ORDER BY key")
    assert problems == [(f"quarantine:{number}",) for number in range(1, len(BAD) + 1)]
    seen = [uid for uid, flags in dovecot.flags(mailbox_user).items() if "\\Seen" in flags]
    assert seen == GOOD


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


def test_clean_stop_in_the_middle(tmp_path: Path, dovecot: Dovecot, mailbox_user: str) -> None:
    """Within 5 s, although a script loops; its try does not count. A second host is refused meanwhile."""
    scripts = {"onEMail.py": SCRIPT, "slow.py": "def onEMail(mail):\n    documents.incoming(mail)\n"}
    accounts = {
        "looping": imap_account(dovecot, f"{mailbox_user}-looping", methods={"script": True}),
        "other": imap_account(dovecot, f"{mailbox_user}-other", methods={"script": {"file": "slow.py"}}),
    }
    instance = make_instance(tmp_path, accounts, scripts, {"jail": {"wall": 60, "cpu": 60}})
    dovecot.deliver_many(f"{mailbox_user}-looping", [with_subject(0, "good"), with_subject(1, "loop"), plain_mail(2)])
    dovecot.deliver_many(f"{mailbox_user}-other", map(plain_mail, range(300)))
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
            host.terminate()
            assert host.wait(10) == 0
            assert time.monotonic() - started < 5
        finally:
            host.kill()
    assert rows(instance, "SELECT count(*) FROM task WHERE state = 'running' OR interruptions > 0") == [(0,)]
    waiting = "SELECT state, attempts FROM task WHERE account = 'looping' ORDER BY mail_id"
    assert rows(instance, waiting) == [("done", 1), ("waiting", 0), ("waiting", 0)]
    assert rows(instance, "SELECT count(*) FROM run WHERE exit <> 'done'") == [(0,)]

    done = rows(instance, "SELECT count(*) FROM mail WHERE state = 'done'")[0][0]
    assert done < 303, "it was to be stopped in the middle"
    make_instance(tmp_path, {}, {"onEMail.py": scripts["slow.py"]})
    with running(instance):
        wait_until(lambda: settled(instance) == 303, 60, "all mails are settled", pause=0.1)
    assert rows(instance, "SELECT DISTINCT state, attempts FROM task") == [("done", 1)]
    assert rows(instance, "SELECT count(*) FROM message_form") == [(303,)]
