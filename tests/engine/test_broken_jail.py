"""A jail that breaks with one mail only is that mail's doing: it must not hold up its account for ever."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from revscript.engine.reading import MOST_BROKEN
from revscript.errors import JailBroken
from revscript.host import Host
from revscript.model import Method, ServerMail, wall_clock
from revscript.sandbox import Sandbox
from revscript.store.intake import Incoming
from tests.instance import make_instance, rows
from tests.servers.mails import Attachment, alarm_mail

SCRIPT = "def onEMail(mail):\n    documents.incoming(mail)\n"


@pytest.fixture
def host(tmp_path: Path) -> Generator[Host]:
    account = {
        "address": "einsatz@fuest.example",
        "enabled": False,
        "authentication": {"method": "password", "username": "u", "password": "p"},
        "receiving": {"protocol": "imap", "host": "imap.fuest.example"},
        "methods": {"script": True, "document": True},
    }
    settings = {"tries": [0]}
    made = Host(make_instance(tmp_path, {"einsatz": account}, {"onEMail.py": SCRIPT}, settings))
    made.sandbox.start()
    yield made
    made.sandbox.stop()
    made.stores.database.close()


def receive(host: Host, *methods: Method, raw: bytes | None = None) -> int:
    """A mail that has just come in → its id."""
    raw = raw or alarm_mail(number="T 1", keyword="B 3", place="Musterstadt")
    box = host.stores.intake.mailbox_id("imap", "imap.fuest.example", "u", "INBOX")
    incoming = Incoming(ServerMail("1", "7", len(raw)), host.stores.blobs.stage([raw]))
    return host.stores.intake.receive(box, "einsatz", [incoming], methods, "", wall_clock())[0].mail_id


def broken(*_: Any, **__: Any) -> Any:
    """Instead of a job of the sandbox."""
    raise JailBroken("The confined process died twice in a row.")


def is_broken(_: Sandbox) -> bool:
    """Instead of `Sandbox.works`."""
    return False


def work(host: Host, mail_id: int) -> None:
    """Try until the jail's breaking is the mail's doing."""
    for _ in range(MOST_BROKEN):
        with pytest.raises(JailBroken):
            host.engine.trying.work(mail_id, host.snapshot, lambda: False)
    host.engine.trying.work(mail_id, host.snapshot, lambda: False)


def tasks(host: Host) -> list[tuple[Any, ...]]:
    """Method, state and attempts of all tasks."""
    return rows(host.instance, "SELECT method, state, attempts FROM task ORDER BY id")


def test_while_reading_it_gets_the_fallback(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    mail_id = receive(host, "document")
    monkeypatch.setattr(Sandbox, "read_with_files", broken)
    work(host, mail_id)
    assert tasks(host) == [("document", "done", 1)]
    ((subject, text),) = rows(host.instance, "SELECT subject, text FROM message_form")
    assert "T 1" in subject
    assert "From: " in text


def test_while_the_script_runs_it_goes_into_quarantine(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    mail_id = receive(host, "script", "document")
    monkeypatch.setattr(Sandbox, "run_script", broken)
    work(host, mail_id)
    assert tasks(host) == [("script", "quarantined", 1), ("document", "done", 1)]
    assert [one.problem.key for one in host.problems.standing()] == ["quarantine:1"]


def test_while_attachments_are_brought_out(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    large = Attachment("plan.bin", bytes(range(256)) * 2000)
    raw = alarm_mail(number="T 1", keyword="B 3", place="Musterstadt", attachments=[large])
    mail_id = receive(host, "document", raw=raw)
    monkeypatch.setattr(Sandbox, "extract", broken)
    work(host, mail_id)
    assert tasks(host) == [("document", "quarantined", 1)]


def test_a_jail_that_is_broken_for_all_is_nobodys_fault(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    mail_id = receive(host, "document")
    monkeypatch.setattr(Sandbox, "read_with_files", broken)
    monkeypatch.setattr(Sandbox, "works", is_broken)
    for _ in range(3 * MOST_BROKEN):
        with pytest.raises(JailBroken):
            host.engine.trying.work(mail_id, host.snapshot, lambda: False)
    assert tasks(host) == [("document", "waiting", 0)]
