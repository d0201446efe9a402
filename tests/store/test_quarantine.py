"""A person's work on tasks, as the store keeps it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from revscript.host import Stores
from revscript.jail.reading.model import Reading
from revscript.model import AT_ONCE, Outcome, Problem, Trouble
from revscript.snapshot import Script
from revscript.store import problems
from revscript.store.ledger import AFTER_FRESH, RunRecord
from revscript.store.quarantine import Entry, Quarantine, Which, quarantine_key
from revscript.store.schema import mail, task, task_entry
from tests.instance import due
from tests.store.kit import MINUTE, NOW, listed, mailbox, receive, rows

SCRIPT = Script("onEMail.py", "x", "a" * 64)
FAILED = Outcome(
    by="script:onEMail.py", exit="failed", log=("hallo",), trouble=Trouble("KeyError", "'x'", ((3, "onEMail"),))
)


def fail(stores: Stores, mail_id: int, script: Script = SCRIPT) -> None:
    """All tasks of a mail go into quarantine, each with its problem."""
    for task_id in stores.ledger.due_tasks(mail_id, due(NOW)):
        claimed = stores.ledger.claim(task_id, NOW)
        assert claimed
        outcome = FAILED if claimed.method == "script" else replace(FAILED, by=f"method:{claimed.method}")
        ran = script if claimed.method == "script" else None
        outcome = replace(outcome, by=f"script:{script.name}") if ran else outcome
        stores.ledger.record_failure(RunRecord(claimed, outcome, "0" * 64, NOW, 0, ran), None)
        problems.write(stores.database, Problem(quarantine_key(task_id), "mail", "x", "y"), NOW, NOW)


def test_what_is_known_of_a_held_task(stores: Stores, box: int) -> None:
    receive(stores, box, listed(7))
    date = (NOW - MINUTE).isoformat()
    stores.ledger.store_reading(1, Reading(subject="B 3", date=date), NOW)
    fail(stores, 1)
    [one] = Quarantine(stores.database).held(Which())
    assert (one.mail_id, one.account, one.method, one.attempts) == (1, "leitstelle", "script", 1)
    assert (one.script, one.script_sha256, one.trouble) == ("onEMail.py", "a" * 64, FAILED.trouble)
    assert Quarantine(stores.database).last_log(one) == ["hallo"]
    assert (one.date, one.received_at, one.finished_at) == (NOW - MINUTE, NOW, NOW)
    assert (one.subject, one.reason) == ("B 3", "KeyError: 'x' (line 3)")


def test_a_date_in_the_future_is_not_believed(stores: Stores, box: int) -> None:
    receive(stores, box, listed(7))
    stores.ledger.store_reading(1, Reading(date=(NOW + timedelta(days=1)).isoformat()), NOW)
    fail(stores, 1)
    assert Quarantine(stores.database).held(Which())[0].date == NOW


def test_choosing(stores: Stores, box: int) -> None:
    receive(stores, box, listed(1), methods=("document", "script"))
    receive(stores, mailbox(stores, "thw"), listed(1), account="thw")
    receive(stores, box, listed(2))
    fail(stores, 1)
    fail(stores, 2, replace(SCRIPT, name="other.py", sha256="b" * 64))
    quarantine = Quarantine(stores.database)

    def chosen(which: Which) -> list[tuple[int, str]]:
        return [(one.mail_id, one.method) for one in quarantine.held(which)]

    assert chosen(Which()) == [(1, "script"), (1, "document"), (2, "script")]
    assert chosen(Which(mail_id=1)) == [(1, "script"), (1, "document")]
    assert chosen(Which(mail_id=1, method="document")) == [(1, "document")]
    assert chosen(Which(account="thw")) == chosen(Which(script="other.py")) == [(2, "script")]
    assert chosen(Which(script="onEMail.py")) == [(1, "script")]
    assert chosen(Which(mail_id=3)) == []
    assert [one.state for one in quarantine.tasks(Which(mail_id=3))] == ["waiting"]
    assert quarantine.knows_mail(3)
    assert not quarantine.knows_mail(4)


def test_a_rerun_is_one_commit_with_its_entry_and_without_its_problem(stores: Stores, box: int) -> None:
    receive(stores, box, listed(7))
    fail(stores, 1)
    quarantine = Quarantine(stores.database)
    held = quarantine.held(Which())
    again = quarantine.rerun(held, same=True, by="cli:mue", why="noch einmal", now=NOW + MINUTE)
    assert again == held
    [row] = rows(stores, task)
    assert (row.state, row.attempts, row.not_before, row.reason) == ("waiting", 0, AFTER_FRESH, "")
    assert (row.finished_at, row.script_sha256, row.generation) == (None, "a" * 64, 0)
    entry = rows(stores, task_entry)[0]
    assert (entry.kind, entry.by, entry.at, entry.why) == ("rerun", "cli:mue", NOW + MINUTE, "noch einmal")
    assert problems.standing(stores.database) == []
    # … and whoever comes too late changes nothing
    assert quarantine.rerun(held, same=False, by="cli:alt", why="", now=NOW) == []
    assert quarantine.discard(held, by="cli:alt", why="zu spät", now=NOW) == []
    assert len(rows(stores, task_entry)) == 1


def test_a_discarded_task_ends_its_mail(stores: Stores, box: int) -> None:
    receive(stores, box, listed(7), methods=("script", "document"))
    fail(stores, 1)
    quarantine = Quarantine(stores.database)
    script, document = quarantine.held(Which())
    quarantine.discard([script], by="cli:mue", why="Werbung", now=NOW)
    assert stores.intake.finished(box, 10) == []
    quarantine.discard([document], by="cli:mue", why="Werbung", now=NOW)
    assert [(row.state, row.reason) for row in rows(stores, task)] == [("discarded", "Werbung")] * 2
    assert rows(stores, mail)[0].state == "done"
    assert [one.mail_id for one in stores.intake.finished(box, 10)] == [1]
    assert problems.standing(stores.database) == []


def test_repeating_begins_the_mail_anew(stores: Stores, box: int) -> None:
    receive(stores, box, listed(7))
    fail(stores, 1)
    quarantine = Quarantine(stores.database)
    held = quarantine.held(Which())
    assert quarantine.repeat(held, same=True, by="cli:mue", why="", now=NOW) == []  # it is not done
    quarantine.discard(held, by="cli:mue", why="Werbung", now=NOW)
    stores.intake.settled([1], "delete", NOW)
    assert len(quarantine.repeat(held, same=False, by="cli:mue", why="", now=NOW)) == 1
    [row], [one] = rows(stores, mail), rows(stores, task)
    assert (row.state, row.settle, row.settled_at, row.settled_by) == ("received", "waiting", None, None)
    assert (one.state, one.generation, one.script_sha256) == ("waiting", 1, None)


def test_a_mail_that_retention_has_removed_is_left_alone(stores: Stores, box: int) -> None:
    receive(stores, box, listed(7))
    fail(stores, 1)
    quarantine = Quarantine(stores.database)
    quarantine.discard(quarantine.held(Which()), by="cli:mue", why="Werbung", now=NOW)
    before = quarantine.tasks(Which(mail_id=1))
    with stores.database.write() as tx:
        tx.execute(mail.update().values(purged_at=NOW))
    done = quarantine.tasks(Which(mail_id=1))
    assert done[0].purged_at == NOW
    assert quarantine.repeat(before, same=True, by="cli:mue", why="", now=NOW) == []  # removed since it was looked at
    assert quarantine.repeat(done, same=True, by="cli:mue", why="", now=NOW) == []
    assert rows(stores, task)[0].state == "discarded"


def test_peoples_work_since(stores: Stores, box: int) -> None:
    receive(stores, box, listed(1), listed(2))
    fail(stores, 1)
    fail(stores, 2)
    quarantine = Quarantine(stores.database)
    assert quarantine.entries_after(None) == []
    first, second = quarantine.held(Which())
    quarantine.rerun([first], same=True, by="cli:mue", why="", now=NOW)
    quarantine.discard([second], by="cli:mue", why="Werbung", now=NOW)
    assert [one.id for one in quarantine.entries_after(None)] == [2]
    assert quarantine.entries_after(1) == [Entry(2, "discarded", "cli:mue", "Werbung", 2, 2)]
    assert quarantine.entries_after(2) == []
    assert rows(stores, task)[0].not_before > AT_ONCE
