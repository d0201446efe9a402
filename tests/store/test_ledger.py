"""Tasks and their tries."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Row, delete, update

from revscript.host import Stores
from revscript.jail.effects import LabelMail, UpsertMission
from revscript.jail.effects import MissionFields as Fields
from revscript.jail.reading.model import MailAddress, Reading
from revscript.model import AT_ONCE, METHODS, Asked, Outcome, Trouble
from revscript.snapshot import Script
from revscript.store.blobs import BlobMissing
from revscript.store.ledger import AFTER_FRESH, LEASE, RunRecord, Task
from revscript.store.record_tables import mail_label
from revscript.store.recovery import ASIDE_APART, MOST_INTERRUPTIONS, recover
from revscript.store.schema import blob_chunk, mail, reading, run, script_text, task, task_entry
from tests.instance import due
from tests.store.kit import MINUTE, NOW, count, listed, opened, receive, rows

SCRIPT = Script("onEMail.py", "import helfer\n", "a" * 64, {"helfer": "X = 1\n"}, {"orte.csv": "Ort;Nr\n"})
OUTCOME = Outcome(by="script:onEMail.py")


@pytest.fixture
def task_id(stores: Stores, box: int) -> int:
    """The only task of the only mail."""
    receive(stores, box, listed(7))
    return rows(stores, task)[0].id


def claim(stores: Stores, task_id: int, now: datetime = NOW) -> Task:
    claimed = stores.ledger.claim(task_id, now)
    assert claimed is not None
    return claimed


def row_of(stores: Stores, task_id: int) -> Row[Any]:
    return rows(stores, task, id=task_id)[0]


def record(of: Task, outcome: Outcome = OUTCOME, script: Script | None = None) -> RunRecord:
    return RunRecord(of, outcome, "5" * 64, NOW, 0, script)


# ---------------------------------------------------------------- what is there to do


def test_a_mails_tasks_come_script_first(stores: Stores, box: int) -> None:
    receive(stores, box, listed(7), methods=tuple(reversed(METHODS)))
    found = stores.ledger.due_tasks(1, due(NOW))
    assert [row_of(stores, one).method for one in found] == list(METHODS)


def test_only_what_waits_and_whose_time_has_come_is_due(stores: Stores, box: int) -> None:
    receive(stores, box, listed(7), methods=METHODS)
    first, second, third, fourth = stores.ledger.due_tasks(1, due(NOW))
    claim(stores, first)
    stores.ledger.record_failure(record(claim(stores, second)), NOW + MINUTE)
    assert stores.ledger.due_tasks(1, due(NOW)) == [third, fourth]
    assert stores.ledger.next_due(NOW) == NOW + MINUTE
    assert stores.ledger.due_tasks(1, due(NOW + MINUTE)) == [second, third, fourth]
    assert stores.ledger.next_due(NOW + MINUTE) is None


def test_a_clock_that_was_set_back_makes_nothing_wait_for_it(stores: Stores, box: int) -> None:
    """The host booted a day ahead; then its clock was put right."""
    receive(stores, box, listed(7), methods=("script", "document"))
    before = NOW - timedelta(days=1)
    first, second = stores.ledger.due_tasks(1, due(before))
    stores.ledger.record_failure(record(claim(stores, first)), NOW + MINUTE)
    assert stores.ledger.due_tasks(1, due(before)) == [first, second]
    assert stores.ledger.mails_with_work("leitstelle", due(before), 9) == [1]
    assert stores.ledger.due_tasks(1, due(NOW)) == [second]  # and nothing is tried too early


def test_mails_come_in_the_order_of_their_arrival(stores: Stores, box: int) -> None:
    receive(stores, box, listed(9), listed(8), methods=("script", "document"))
    receive(stores, box, listed(7), account="thw")
    assert sorted(stores.ledger.accounts_with_work(due(NOW))) == ["leitstelle", "thw"]
    assert stores.ledger.mails_with_work("leitstelle", due(NOW), 10) == [1, 2]
    assert stores.ledger.mails_with_work("leitstelle", due(NOW), 1) == [1]
    assert stores.ledger.mails_with_work("thw", due(NOW), 10) == [3]
    assert stores.ledger.unread(2) == [1, 2]


def test_what_was_tried_before_comes_after_all_that_is_fresh_and_one_at_a_time(stores: Stores, box: int) -> None:
    receive(stores, box, *(listed(key) for key in (1, 2, 3)))
    with stores.database.write() as tx:
        tx.execute(update(task).where(task.c.id == 1).values(not_before=AFTER_FRESH))
        tx.execute(update(task).where(task.c.id == 2).values(not_before=NOW))
    assert stores.ledger.mails_with_work("leitstelle", due(NOW), 10) == [3]
    claim(stores, 3)
    assert stores.ledger.mails_with_work("leitstelle", due(NOW), 10) == [1]


# ---------------------------------------------------------------- reading


def test_a_mail_is_read_once(stores: Stores, box: int) -> None:
    receive(stores, box, listed(7))
    sender = MailAddress(address="alarm@leitstelle.example", name="Leitstelle")
    first = Reading(
        subject="B 3", sender=sender, date="2026-03-01T13:00:00+01:00", message_id="1@x.example", text="ü\n"
    )
    stores.ledger.store_reading(1, first, NOW)
    stores.ledger.store_reading(1, Reading(subject="second"), NOW)
    assert stores.ledger.reading(1) == first
    (row,) = rows(stores, reading)
    assert (row.subject, row.sender, row.date, row.message_id) == ("B 3", sender.address, NOW, "1@x.example")
    assert (stores.ledger.mail(1).state, stores.ledger.unread(10)) == ("read", [])


def test_reading_a_mail_that_is_done_leaves_it_done(stores: Stores, box: int) -> None:
    receive(stores, box, listed(7), methods=())
    stores.ledger.store_reading(1, Reading(), NOW)
    assert stores.ledger.mail(1).state == "done"


@pytest.mark.parametrize("spoil", ["missing", "cut", "garbage", "never read"])
def test_a_damaged_reading_is_said_to_be_damaged(stores: Stores, box: int, spoil: str) -> None:
    receive(stores, box, listed(7))
    if spoil != "never read":
        stores.ledger.store_reading(1, Reading(subject="B 3"), NOW)
        blob_id = rows(stores, reading)[0].blob_id
        of_blob = blob_chunk.c.blob_id == blob_id
        [chunk] = rows(stores, blob_chunk, blob_id=blob_id)
        with stores.database.write() as tx:
            if spoil == "missing":
                tx.execute(delete(blob_chunk).where(of_blob))
            else:
                data = chunk.data[:-5] if spoil == "cut" else b"?" * len(chunk.data)
                tx.execute(update(blob_chunk).where(of_blob).values(data=data))
    with pytest.raises(BlobMissing):
        stores.ledger.reading(1)


def test_a_reading_made_anew_takes_the_place_of_the_old_one(stores: Stores, box: int) -> None:
    receive(stores, box, listed(7))
    stores.ledger.store_reading(1, Reading(subject="eins"), NOW)
    stores.ledger.store_reading(1, Reading(subject="zwei"), NOW, anew=True)
    assert stores.ledger.reading(1).subject == rows(stores, reading)[0].subject == "zwei"


# ---------------------------------------------------------------- trying


def test_a_mail_of_our_own_is_done_without_a_run(stores: Stores, box: int) -> None:
    receive(stores, box, listed(7), methods=METHODS)
    assert stores.ledger.ignore(1, "canary", NOW)
    assert {(row.state, row.exit, row.finished_at) for row in rows(stores, task)} == {("done", "ignored", NOW)}
    assert [(row.text, row.by) for row in rows(stores, mail_label)] == [("canary", "host")]
    assert (rows(stores, mail)[0].state, count(stores, run)) == ("done", 0)


def test_what_cannot_be_loaded_is_set_aside(stores: Stores, box: int) -> None:
    receive(stores, box, listed(7), methods=("script", "document"))
    claimed = claim(stores, 1)
    with stores.database.write() as tx:
        stores.ledger.finish(tx, claimed, "done", NOW)
    assert [one.id for one in stores.ledger.set_aside(1, "damaged", NOW)] == [2]
    assert [(row.state, row.reason) for row in rows(stores, task)] == [("done", ""), ("quarantined", "damaged")]


def test_a_task_is_claimed_by_exactly_one(stores: Stores, box: int) -> None:
    receive(stores, box, *(listed(key) for key in range(20)))
    with ThreadPoolExecutor(8) as pool:
        for row in rows(stores, task):
            claims = list(pool.map(stores.ledger.claim, [row.id] * 8, [NOW] * 8))
            assert sum(claimed is not None for claimed in claims) == 1
    assert {row.attempts for row in rows(stores, task)} == {1}


def test_a_try_is_counted_before_it_begins(stores: Stores, task_id: int) -> None:
    claimed = claim(stores, task_id)
    row = row_of(stores, task_id)
    assert (claimed.attempts, row.attempts, row.state) == (1, 1, "running")
    assert (row.owner, row.lease_until) == (stores.database.instance_id, NOW + LEASE)
    assert stores.ledger.claim(task_id, NOW) is None


def test_a_try_that_did_not_happen_is_not_counted(stores: Stores, task_id: int) -> None:
    stores.ledger.uncount(claim(stores, task_id))
    row = row_of(stores, task_id)
    assert (row.state, row.attempts, row.not_before, row.owner) == ("waiting", 0, AT_ONCE, None)
    assert claim(stores, task_id).attempts == 1


def test_uncounting_what_is_through_changes_nothing(stores: Stores, task_id: int) -> None:
    claimed = claim(stores, task_id)
    with stores.database.write() as tx:
        stores.ledger.finish(tx, claimed, "done", NOW)
    stores.ledger.uncount(claimed)
    assert (row_of(stores, task_id).state, row_of(stores, task_id).attempts) == ("done", 1)


def test_a_failed_try_waits_for_the_next_and_then_for_a_person(stores: Stores, task_id: int) -> None:
    failed = Outcome(by="script:onEMail.py", exit="failed", trouble=Trouble("KeyError", "'x'", ((3, "onEMail"),)))
    stores.ledger.record_failure(record(claim(stores, task_id), failed), NOW + MINUTE)
    row = row_of(stores, task_id)
    assert (row.state, row.not_before, row.attempts, row.exit) == ("waiting", NOW + MINUTE, 1, "failed")
    assert (row.reason, row.owner, row.finished_at) == ("KeyError: 'x' (line 3)", None, None)

    second = claim(stores, task_id, NOW + MINUTE)
    assert second.attempts == 2
    stores.ledger.record_failure(record(second, failed), None)
    row = row_of(stores, task_id)
    assert (row.state, row.finished_at) == ("quarantined", NOW)
    assert stores.ledger.claim(task_id, NOW) is None
    assert [one.attempt for one in rows(stores, run)] == [1, 2]
    assert stores.intake.finished(1, 10) == []  # the server is not told of it


def test_the_mail_is_done_with_its_last_task(stores: Stores, box: int) -> None:
    receive(stores, box, listed(7), methods=("script", "document", "centre"))
    first, second, third = (claim(stores, one) for one in stores.ledger.due_tasks(1, due(NOW)))
    through: list[bool] = []
    with stores.database.write() as tx:
        tx.execute(update(task).where(task.c.id == second.id).values(state="discarded"))
        for one in (first, third):
            through.append(stores.ledger.finish(tx, one, "done", NOW))
    assert through == [False, True]
    assert rows(stores, mail)[0].state == "done"


# ---------------------------------------------------------------- the host died


def test_an_interrupted_try_is_none(stores: Stores, box: int) -> None:
    receive(stores, box, listed(7), methods=METHODS)
    first, second, third, _ = (claim(stores, one) for one in stores.ledger.due_tasks(1, due(NOW)))
    with stores.database.write() as tx:
        stores.ledger.finish(tx, first, "done", NOW)
    stores.ledger.record_failure(record(second), None)
    with stores.database.write() as tx:
        tx.execute(update(task).where(task.c.id == third.id).values(owner="another host"))

    assert recover(stores.database, NOW + MINUTE) == (1, [], [])
    states = [(row.state, row.attempts, row.interruptions) for row in rows(stores, task)]
    assert states == [("done", 1, 0), ("quarantined", 1, 0), ("running", 1, 0), ("waiting", 0, 1)]
    recovered = rows(stores, task)[3]
    assert (recovered.owner, recovered.lease_until, recovered.not_before) == (None, None, AT_ONCE)


def test_what_kills_the_host_again_and_again_steps_aside_and_then_waits_for_a_person(
    stores: Stores, task_id: int
) -> None:
    pauses: list[float] = []
    for deaths in range(1, MOST_INTERRUPTIONS):
        assert claim(stores, task_id).attempts == 1
        found = recover(stores.database, NOW)
        assert (found.waiting, found.poisoned) == (1, [])
        row = row_of(stores, task_id)
        assert (row.state, row.interruptions, row.attempts) == ("waiting", deaths, 0)
        pauses.append(max(0.0, (row.not_before - NOW).total_seconds()))
        assert [(one.interruptions, one.until) for one in found.aside] == [(deaths, row.not_before)] * (pauses[-1] > 0)
    assert pauses == [0, 0, 5, 10, 30, 60, 120]
    entries = [(row.kind, row.by, row.at, row.why) for row in rows(stores, task_entry)]
    assert entries[0] == ("stepped_aside", "host", NOW, "host deaths: 3")
    assert len(entries) == 5

    claim(stores, task_id)
    waiting, aside, poisoned = recover(stores.database, NOW)
    assert (waiting, aside, [one.id for one in poisoned]) == (0, [], [task_id])
    row = row_of(stores, task_id)
    assert (row.state, row.interruptions, row.finished_at) == ("quarantined", MOST_INTERRUPTIONS, NOW)
    assert row.reason == "the host died 8 times while it worked on this mail"


def test_those_that_step_aside_together_run_apart(stores: Stores, box: int) -> None:
    """Which of them kills the host shows only when each runs alone."""
    receive(stores, box, *(listed(key) for key in range(3)))
    with stores.database.write() as tx:
        tx.execute(update(task).values(interruptions=2))
    for row in rows(stores, task):
        claim(stores, row.id)
    found = recover(stores.database, NOW)
    assert [one.until - NOW for one in found.aside] == [
        timedelta(seconds=5 + ASIDE_APART * place) for place in range(3)
    ]


def test_a_reopened_store_knows_its_own_tasks(tmp_path: Path) -> None:
    with opened(tmp_path) as before:
        receive(before, before.intake.mailbox_id("pop3", "mail.fuest.example", "einsatz", ""), listed(7, epoch=""))
        claim(before, 1)
        instance = before.database.instance_id
    with opened(tmp_path) as after:
        assert after.database.instance_id == instance
        assert recover(after.database, NOW) == (1, [], [])


# ---------------------------------------------------------------- the run's record


def test_a_run_is_recorded_with_all_that_it_was_made_of(stores: Stores, task_id: int) -> None:
    asked = Asked({"question": "find_mission", "number": "990007"}, None)
    effects = (LabelMail(text="Übung"), UpsertMission(number="990007", fields=Fields(lat=48.1, units=("Florian 1",))))
    outcome = replace(OUTCOME, effects=effects, asked=(asked,), log=("eins", "zwei"), cpu_ms=12)
    tried = record(claim(stores, task_id), outcome, SCRIPT)
    with stores.database.write() as tx:
        stores.ledger.record_run(tx, tried)
    (row,) = rows(stores, run)
    assert (row.task_id, row.attempt, row.by, row.exit) == (task_id, 1, "script:onEMail.py", "done")
    assert (row.script_sha256, row.snapshot_sha256, row.now) == (SCRIPT.sha256, "5" * 64, NOW)
    assert row.asked == [{"question": {"question": "find_mission", "number": "990007"}, "answer": None}]
    assert row.effects[0] == {"effect": "label_mail", "text": "Übung"}
    assert (row.effects[1]["fields"]["lat"], row.effects[1]["fields"]["units"]) == (48.1, ["Florian 1"])
    assert (row.log, row.cpu_ms, row.conflicts, row.trouble) == (["eins", "zwei"], 12, 0, None)


def test_trouble_is_recorded_with_its_lines(stores: Stores, task_id: int) -> None:
    outcome = replace(OUTCOME, exit="failed", trouble=Trouble("KeyError", "'x'", ((9, "<module>"), (3, "onEMail"))))
    tried = record(claim(stores, task_id), outcome)
    with stores.database.write() as tx:
        stores.ledger.record_run(tx, tried)
    (row,) = rows(stores, run)
    assert row.trouble == {"type": "KeyError", "text": "'x'", "frames": [[9, "<module>"], [3, "onEMail"]]}
    assert row.script_sha256 is None


def test_a_script_is_stored_once_with_all_that_it_needs(stores: Stores, task_id: int) -> None:
    claimed, newer = claim(stores, task_id), replace(SCRIPT, sha256="b" * 64, tables={})
    with stores.database.write() as tx:
        for script in (SCRIPT, SCRIPT, newer):
            stores.ledger.record_run(tx, record(claimed, script=script))
    assert [row.script_sha256 for row in rows(stores, run)] == ["a" * 64, "a" * 64, "b" * 64]
    assert count(stores, script_text) == 2
    assert stores.ledger.script("a" * 64) == SCRIPT
    assert stores.ledger.script("b" * 64) == newer
    assert stores.ledger.script("c" * 64) is None
