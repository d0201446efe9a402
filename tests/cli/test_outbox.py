"""`revscript outbox`, as its users call it; beside a courier: tests/outbound/test_giving_up.py."""

from __future__ import annotations

import getpass
import subprocess
from pathlib import Path
from typing import Any

import pytest

from revscript.host import open_stores
from revscript.model import Problem
from revscript.snapshot import Instance
from revscript.store import problems
from tests.cli.command import COMMAND, environment, no_traceback, revscript
from tests.cli.filled import NOW, filled
from tests.instance import rows

ME = f"cli:{getpass.getuser()}"
ERROR = "The server said: 554 5.7.1 spam"


@pytest.fixture
def own(tmp_path: Path) -> Instance:
    """Outbox no. 1 is dead, no. 2 was refused by one of its recipients, no. 3 is pending, no. 4 is sent."""
    instance = filled(tmp_path)
    stores = open_stores(instance)
    with stores.database.write() as tx:
        names = "kind, lane, level, state, payload, tries, next_at, not_after, error, created_at, mail_id"
        for key in ("two", "three", "four"):
            tx.exec_driver_sql(f"INSERT INTO act (key, {names}) SELECT ?, {names} FROM act WHERE id = 1", (key,))
        ended = "finished_at = '2026-03-03T11:00:05.000000Z'"
        tx.exec_driver_sql(f"UPDATE act SET state = 'dead', tries = 9, error = '{ERROR}', {ended} WHERE id = 1")
        receipt = '{"accepted": {"wehr@fuest.example": "ok"}, "refused": {"stab@fuest.example": "550 no such user"}}'
        tx.exec_driver_sql(f"UPDATE act SET state = 'sent', receipt = '{receipt}', {ended} WHERE id = 2")
        tx.exec_driver_sql(f"UPDATE act SET state = 'sent', {ended} WHERE id = 4")
    for act_id, severity in ((1, "error"), (2, "warning")):
        told = Problem(f"act:{act_id}", f"outbox no. {act_id}", "…", "…", "error" if severity == "error" else "warning")
        problems.write(stores.database, told, NOW, NOW)
    stores.database.close()
    return instance


def acts(instance: Instance) -> list[tuple[Any, ...]]:
    return rows(instance, "SELECT id, state, tries, error FROM act ORDER BY id")


def told(instance: Instance) -> list[str]:
    return [key for (key,) in rows(instance, "SELECT key FROM problem WHERE key LIKE 'act:%' ORDER BY key")]


def test_the_list(own: Instance) -> None:
    to = ["wehr@fuest.example", "stab@fuest.example"]
    dead, refused = revscript("outbox", "list", "--json", cwd=own.root).rows
    assert dead == {
        "id": 1,
        "lane": "smtp:post",
        "state": "dead",
        "to": to,
        "subject": "Alarm",
        "since": "2026-03-03T11:00:05.000+00:00",
        "tries": 9,
        "error": ERROR,
    }
    assert (refused["id"], refused["state"], refused["error"]) == (2, "sent", "stab@fuest.example: 550 no such user")
    assert ERROR in revscript("outbox", "list", cwd=own.root).out


def test_one_is_sent_again(own: Instance) -> None:
    done = revscript("outbox", "retry", "1", cwd=own.root)
    assert done.code == 0
    assert done.out == "outbox no. 1: is sent again\nNo host runs now: it is sent when one is started.\n"
    assert acts(own)[0] == (1, "pending", 0, "")
    assert told(own) == ["act:2"]
    [(not_after, finished_at)] = rows(own, "SELECT not_after, finished_at FROM act WHERE id = 1")
    assert not_after > "2026-03-03T12"  # from now on, not from then
    assert finished_at is None
    assert "queued for smtp:post" in revscript("trace", "1", cwd=own.root).out


def test_all_are_sent_again_or_discarded(own: Instance) -> None:
    asked = subprocess.run(
        [*COMMAND, "outbox", "discard", "--all", "--why", "x"],
        cwd=own.root,
        env=environment(),
        input="3\n",
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert (asked.returncode, "This means 2 mails." in asked.stdout) == (1, True)
    assert told(own) == ["act:1", "act:2"]
    done = revscript("outbox", "retry", "--all", "--yes", "--json", cwd=own.root)
    assert done.rows == [{"id": 1, "done": "retry"}, {"id": 2, "done": "retry"}]
    assert [row[1] for row in acts(own)] == ["pending", "pending", "pending", "sent"]
    assert told(own) == []
    [(receipt,)] = rows(own, "SELECT receipt FROM act WHERE id = 2")
    assert receipt == '{"accepted": {"wehr@fuest.example": "ok"}, "refused": {}}'
    assert revscript("outbox", "list", cwd=own.root).out == "none\n"


def test_discarded_with_a_reason(own: Instance) -> None:
    done = revscript("outbox", "discard", "1", "2", "--why", "told by phone", "--json", cwd=own.root)
    assert done.rows == [{"id": 1, "done": "discarded"}, {"id": 2, "done": "discarded"}]
    assert told(own) == []
    note = f"discarded by {ME}: told by phone"
    assert [row[3] for row in acts(own)[:2]] == [f"{note} (before: {ERROR})", note]
    assert note in revscript("trace", "1", cwd=own.root).out
    again = revscript("outbox", "retry", "1", cwd=own.root)  # it was a mistake
    assert again.code == 0
    assert acts(own)[0][1] == "pending"


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("retry",), 2, "name either numbers or --all"),
        (("retry", "1", "--all"), 2, "name either numbers or --all"),
        (("retry", "--all", "--json"), 2, "with --json --all needs --yes"),
        (("retry", "99"), 1, "There is no mail no. 99 in the outbox"),
        (("retry", "1", "3"), 1, "Outbox no. 3 is being tried still; nothing was done."),
        (("retry", "4"), 1, "Outbox no. 4 was sent to everybody; nothing was done."),
        (("retry", "0"), 2, "greater than or equal to 1"),
        (("retry", "99999999999999999999"), 2, "less than or equal to 1000000000"),
        (("discard", "1"), 2, "--why"),
        (("discard", "1", "--why", " "), 2, "must not be blank"),
        (("discard", "1", "3", "--why", "x"), 1, "Outbox no. 3 waits for nobody; nothing was done."),
        (("discard", "4", "--why", "x"), 1, "Outbox no. 4 waits for nobody; nothing was done."),
    ],
)
def test_what_cannot_be_done(own: Instance, arguments: tuple[str, ...], code: int, text: str) -> None:
    before = acts(own)
    done = revscript("outbox", *arguments, cwd=own.root)
    assert (done.code, done.out) == (code, "")
    assert text in done.err
    assert "Traceback" not in done.err
    assert (acts(own), told(own)) == (before, ["act:1", "act:2"])


def test_nothing_waits(tmp_path: Path) -> None:
    instance = filled(tmp_path)
    assert revscript("outbox", "list", cwd=instance.root).out == "none\n"
    done = revscript("outbox", "discard", "--all", "--why", "x", cwd=instance.root)
    assert no_traceback(done)
    assert "No mail waits for a person." in done.err
