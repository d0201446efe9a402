"""`revscript status`: the shape of its lines, what people see at 80 columns, and the exit code for monitoring."""

from __future__ import annotations

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import update

from revscript.cli.output import ROOM
from revscript.cli.status import RunningHost, running_host
from revscript.cli.status_text import tell
from revscript.host import open_stores
from revscript.host.lock import LOCK
from revscript.snapshot import Instance
from revscript.store.schema import mailbox
from tests.cli.command import revscript
from tests.cli.test_show import AT
from tests.instance import make_instance

NOW = datetime(2026, 3, 1, 11, 0, tzinfo=UTC)
NEXT = "2026-03-01T11:01:05.000+00:00"


@contextmanager
def a_host(instance: Instance, said: str) -> Generator[None]:
    """Somebody holds the instance's lock, and has written this."""
    instance.data.mkdir(exist_ok=True)
    path = instance.data / LOCK
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(said)
        file.flush()
        try:
            yield
        finally:
            path.unlink()


def test_json_is_exact(instance: Instance) -> None:
    done = revscript("status", "--json", cwd=instance.root)
    assert (done.code, done.err) == (0, "")
    host, account, outbox, problem = done.rows
    assert host == {"type": "host", "running": False, "pid": None, "version": None, "since": None}
    (folder,) = account.pop("folders")
    mailbox = {
        "mailbox": "imap://einsatz@imap.fuest.example/INBOX",
        "mode": folder["mode"],
        "last_ok": AT,
        "age": folder["age"],
        "next_poll": NEXT,
        "error": "",
        "read_by_others": 0,
    }
    assert folder["age"] > 0
    assert folder == mailbox | {"folder": "INBOX", "last_mail": folder["last_mail"]}
    assert account == mailbox | {
        "type": "account",
        "name": "post",
        "label": "Leitstelle",
        "enabled": True,
        "mails": {"received": 1, "read": 1, "done": 1},
        "quarantined": 1,
        "unhandled": 0,
    }
    assert outbox == {"type": "outbox", "pending": 1, "sent": 0, "dead": 0}
    assert problem.pop("seconds") > 0
    assert problem == {
        "type": "problem",
        "key": "jail",
        "severity": "error",
        "where": "jail",
        "what": "It does not start.",
        "way_out": "See the log.",
        "since": AT,
    }


@pytest.mark.parametrize("columns", ["80", "200"])
def test_people_see_what_to_do_and_monitoring_a_code(instance: Instance, columns: str) -> None:
    done = revscript("status", "--check", cwd=instance.root, COLUMNS=columns)
    assert done.code == 1
    assert "no host runs" in done.out
    assert "1 received, 1 read, 1 done, 1 in quarantine" in done.out
    assert "error: jail: It does not start.\n  for " in done.out
    assert " days, since 2026-03-01 12:00:05. See the log.\n" in done.out


# ---------------------------------------------------------------- the host


@pytest.mark.parametrize(
    ("said", "known"),
    [
        ("4711 0.2.0 2026-03-01T12:00:00+01:00", RunningHost(4711, "0.2.0", NOW)),
        ("4711", RunningHost(4711, None, None)),
        ("", RunningHost(None, None, None)),
        ("4711 0.2.0 yesterday", RunningHost(4711, "0.2.0", None)),
    ],
)
def test_the_host_that_runs(tmp_path: Path, said: str, known: RunningHost) -> None:
    instance = make_instance(tmp_path, {})
    assert running_host(instance) is None
    with a_host(instance, said):
        assert running_host(instance) == known
    (instance.data / LOCK).write_text(said)  # left behind by a host that was killed
    assert running_host(instance) is None


def test_all_is_well_with_a_host_and_without_errors(tmp_path: Path) -> None:
    instance = make_instance(tmp_path, {})
    assert revscript("status", "--check", cwd=instance.root).code == 1
    with a_host(instance, "4711 0.2.0 2026-03-01T12:00:00+01:00"):
        done = revscript("status", "--check", cwd=instance.root)
        (host,) = revscript("status", "--json", cwd=instance.root).rows
    assert done.code == 0
    assert "a host runs (process 4711, version 0.2.0, since 2026-03-01 12:00:00)\n" in done.out
    assert host["since"] == "2026-03-01T11:00:00.000+00:00"


# ---------------------------------------------------------------- for people


def a_folder(name: str, **more: Any) -> dict[str, Any]:
    age = more.pop("age", 12.0)
    usual = {"mode": "push", "next_poll": NOW + timedelta(seconds=48), "last_mail": NOW - timedelta(minutes=3)}
    return {"folder": name, "age": age, "read_by_others": 0, "error": ""} | usual | more


def an_account(name: str, *folders: dict[str, Any], **more: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {"label": "", "enabled": True, "mode": "push", "error": "", "read_by_others": 0}
    counts = {"mails": {"received": 0, "read": 0, "done": 0}, "quarantined": 0, "unhandled": 0}
    return {"type": "account", "name": name, "folders": list(folders)} | usual | counts | more


ACCOUNTS = [
    an_account(
        "leitstelle",
        a_folder("INBOX"),
        a_folder("INBOX/Alarme der Feuerwehr und des THW", mode="poll", age=500.0, next_poll=NOW - timedelta(hours=9)),
        label="Leitstelle Musterstadt",
        mails={"received": 1, "read": 12, "done": 123_456},
        quarantined=3,
        unhandled=2,
        read_by_others=17,
    ),
    an_account("stab", a_folder("INBOX", mode="down", age=None, error="The server does not answer.", last_mail=None)),
    an_account("aus", a_folder("INBOX", mode="", age=None, last_mail=None), enabled=False),
    an_account("alt", enabled=False, error="its file is gone or has an error; see `revscript check`"),
]


def told(capsys: pytest.CaptureFixture[str], *rows: dict[str, Any]) -> list[str]:
    host = {"type": "host", "running": True, "pid": 4711, "version": "0.2.0", "since": NOW}
    tell([host, *rows], Path("/srv/post"), ZoneInfo("Europe/Berlin"), NOW)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_a_narrow_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = told(capsys, *ACCOUNTS)
    assert lines == [
        "/srv/post: a host runs (process 4711, version 0.2.0, since 2026-03-01 12:00:00)",
        "leitstelle (Leitstelle Musterstadt)",
        "  INBOX: push, proven 12 s ago, next poll in 48 s, last mail 3 min ago",
        "  INBOX/Alarme der Feuerwehr und des THW: poll, proven 8 min ago,",
        "    next poll 9 h late, last mail 3 min ago",
        "  1 received, 12 read, 123456 done, 3 in quarantine, 2 unhandled in 24 h,",
        "    17 read by others first",
        "stab",
        "  INBOX: down, proven never, next poll in 48 s",
        "  no mails",
        "  The server does not answer.",
        "aus, switched off",
        "  INBOX: proven never",
        "  no mails",
        "alt, switched off",
        "  no mails",
        "  its file is gone or has an error; see `revscript check`",
    ]
    assert max(map(len, lines)) <= 80


def test_a_wide_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "240")
    _, head, inbox, alarms, stab, off, gone, error, gone_error = told(capsys, *ACCOUNTS)
    assert head.split("  ") != [head]
    assert inbox.split() == [
        *("leitstelle", "Leitstelle", "Musterstadt", "INBOX", "push", "12", "s", "ago", "in", "48", "s"),
        *("3", "min", "ago", "1", "received,", "12", "read,", "123456", "done,", "3", "in", "quarantine,"),
        *("2", "unhandled", "in", "24", "h,", "17", "read", "by", "others", "first"),
    ]
    assert alarms.split()[:4] == ["INBOX/Alarme", "der", "Feuerwehr", "und"]
    assert "poll  8 min ago  9 h late" in alarms
    assert stab.split()[:4] == ["stab", "-", "INBOX", "down"]
    assert off.split()[:4] == ["aus", "-", "INBOX", "off"]
    assert gone.split()[:4] == ["alt", "-", "-", "off"]
    assert error == "  stab: The server does not answer."
    assert gone_error == "  alt: its file is gone or has an error; see `revscript check`"


@pytest.mark.parametrize("columns", ["80", str(ROOM)])
def test_one_trouble_of_all_folders_is_said_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    dead = [a_folder(name, mode="down", error="The login was refused.") for name in ("INBOX", "Alarm")]
    assert "\n".join(told(capsys, an_account("post", *dead))).count("The login was refused.") == 1
    lines = told(capsys, an_account("post", dead[0], a_folder("Alarm")))
    assert lines[-1].endswith("INBOX: The login was refused.")


def test_a_problem_tells_how_long_and_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    problem = {"severity": "warning", "where": "/srv/data", "what": "The disk is filling up.", "way_out": "Make room."}
    assert told(capsys, {"type": "problem", "seconds": 720, "since": NOW, **problem})[1:] == [
        "warning: /srv/data: The disk is filling up.",
        "  for 12 min, since 2026-03-01 12:00:00. Make room.",
    ]


def test_the_account_is_as_well_as_its_worst_folder(tmp_path: Path) -> None:
    account = {
        "address": "einsatz@fuest.example",
        "authentication": {"method": "password", "username": "einsatz", "password": "geheim"},
        "receiving": {"protocol": "imap", "host": "imap.fuest.example", "folders": ["INBOX", "Alarm"]},
        "methods": {"document": True},
    }
    instance = make_instance(tmp_path, {"post": account})
    stores = open_stores(instance)
    for folder, ok in (("INBOX", NOW), ("Alarm", NOW - timedelta(hours=1))):
        box = stores.intake.mailbox_id("imap", "imap.fuest.example", "einsatz", folder)
        with stores.database.write() as tx:
            tx.execute(update(mailbox).where(mailbox.c.id == box).values(last_ok_at=ok, mode="poll", read_by_others=2))
    stores.database.close()
    account_row = revscript("status", "--json", cwd=instance.root).rows[1]
    assert account_row["mailbox"].endswith("/Alarm")
    assert account_row["last_ok"] == "2026-03-01T10:00:00.000+00:00"
    assert account_row["read_by_others"] == 4
    assert [folder["folder"] for folder in account_row["folders"]] == ["INBOX", "Alarm"]
