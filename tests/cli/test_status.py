"""`revscript status`: the shape of its lines, and the exit code for monitoring."""

from __future__ import annotations

from revscript.snapshot import Instance
from tests.cli.command import revscript
from tests.cli.test_show import AT


def test_json_is_exact(instance: Instance) -> None:
    done = revscript("status", "--json", cwd=instance.root)
    assert (done.code, done.err) == (0, "")
    host, account, outbox, problem = done.rows
    assert host == {"type": "host", "running": False, "pid": None}
    assert account.pop("age") > 0
    assert account == {
        "type": "account",
        "name": "post",
        "label": "Leitstelle",
        "mailbox": "imap://einsatz@imap.fuest.example/INBOX",
        "enabled": True,
        "last_ok": AT,
        "next_poll": "2026-03-01T11:01:05.000+00:00",
        "error": "",
        "mails": {"received": 1, "read": 1, "done": 1},
        "quarantined": 1,
    }
    assert outbox == {"type": "outbox", "pending": 1, "sent": 0, "dead": 0}
    assert problem == {
        "type": "problem",
        "key": "jail",
        "severity": "error",
        "where": "jail",
        "what": "It does not start.",
        "way_out": "See the log.",
        "since": AT,
    }


def test_people_see_what_to_do_and_monitoring_a_code(instance: Instance) -> None:
    done = revscript("status", "--check", cwd=instance.root)
    assert done.code == 1
    assert "no host runs" in done.out
    assert "received 1, read 1, done 1" in done.out
    assert "error: jail: It does not start.\n  since 2026-03-01 12:00:05; See the log.\n" in done.out
