"""What a mail's tries do beside running: canaries, damage, versions, the order of mails, and what the log says."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from revscript.errors import StoreError
from revscript.jail.reading.model import Reading
from revscript.store.ledger import Ledger
from revscript.store.quarantine import Held, Quarantine, Which
from tests.engine.kit import Post, account, post_in

SCRIPT = (
    'def onEMail(mail):\n    notify.all(mail.subject, level="alarm")\n    send_mail("mue@thw.example", "Geheim", "x")\n'
)
BROKEN = 'def onEMail(mail):\n    documents.incoming(mail)\n    raise ValueError("alt")\n'
MENDED = "def onEMail(mail):\n    documents.incoming(mail)\n"
METHODS = {"script": True, "document": True}


@pytest.fixture
def post(tmp_path: Path) -> Generator[Post]:
    with post_in(tmp_path, {"post": account(methods=METHODS)}, script=SCRIPT) as post:
        yield post


def held(post: Post, **which: Any) -> list[Held]:
    return Quarantine(post.stores.database).held(Which(**which))


# ---------------------------------------------------------------- canaries


def test_a_canary_runs_nothing(post: Post) -> None:
    post.canaries.add("1@leitstelle.example")
    rung: list[str | None] = []
    post.bell.listen("finished", rung.append)
    post.receive("Probe", methods=("script", "document"))
    post.receive("Alarm", methods=("script", "document"))
    post.work()
    assert post.ask("SELECT mail_id, state, exit FROM task") == [
        (1, "done", "ignored"),
        (1, "done", "ignored"),
        (2, "done", "done"),
        (2, "done", "done"),
    ]
    assert post.ask("SELECT mail_id FROM run JOIN task ON task.id = task_id GROUP BY 1") == [(2,)]
    assert post.ask("SELECT mail_id, text FROM mail_label") == [(1, "canary")]
    assert post.ask("SELECT state FROM mail") == [("done",), ("done",)]
    assert rung == ["post", "post"]


# ---------------------------------------------------------------- damage


@pytest.mark.parametrize("damage", ["DELETE FROM blob_chunk WHERE", "UPDATE blob_chunk SET data = x'3f' WHERE"])
def test_a_damaged_reading_is_made_anew(post: Post, damage: str) -> None:
    post.trying.reader.read_ahead(post.receive("Alarm"), post.snapshot.settings)
    post.reopen()  # it is in memory no more
    with post.stores.database.write() as tx:
        tx.exec_driver_sql(f"{damage} blob_id = (SELECT blob_id FROM reading)")
    post.work()
    assert post.ask("SELECT text FROM notice") == [("Alarm",)]


@pytest.mark.parametrize("read_before", [False, True])
def test_a_mail_of_which_bytes_are_missing_holds_up_no_other(post: Post, read_before: bool) -> None:
    damaged = post.receive("Alarm 1", methods=("script", "document"))
    if read_before:
        post.trying.reader.read_ahead(damaged, post.snapshot.settings)
        post.reopen()
    post.receive("Alarm 2")
    blobs = "SELECT blob_id FROM mail WHERE id = 1 UNION SELECT blob_id FROM reading"
    with post.stores.database.write() as tx:
        tx.exec_driver_sql(f"UPDATE blob_chunk SET data = x'53' WHERE blob_id IN ({blobs})")
    with post.engine_runs():
        post.bell.ring("received")
        post.wait_for("SELECT count(*) FROM task WHERE state = 'quarantined'", 2, "both tasks are set aside")
        post.wait_for("SELECT count(*) FROM task WHERE state = 'done'", 1, "the next mail has run")
    assert post.ask("SELECT text FROM notice") == [("Alarm 2",)]
    [reason] = {reason for (reason,) in post.ask("SELECT reason FROM task WHERE state = 'quarantined'")}
    assert "The raw mail cannot be loaded" in reason
    assert set(post.open_problems()) == {"quarantine:1", "quarantine:2"}


def test_a_row_that_the_store_cannot_load_is_the_mails_fault_in_the_end(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    post.trying.reader.read_ahead(post.receive("Alarm"), post.snapshot.settings)
    post.reopen()

    def broken(*_: Any) -> Reading:
        raise StoreError("database disk image is malformed")

    monkeypatch.setattr(Ledger, "reading", broken)
    for _ in range(3):
        with pytest.raises(StoreError):
            post.work()
    post.work()
    assert post.ask("SELECT state FROM mail") == [("done",)]


# ---------------------------------------------------------------- a host that dies


def test_what_the_last_run_did_not_tell_is_told(tmp_path: Path) -> None:
    """It died after the quarantine's commit; of the other task, a warning stands from before it."""
    with post_in(tmp_path, script=BROKEN) as post:
        post.receive("eins")
        post.receive("zwei")
        post.work()
        with post.stores.database.write() as tx:
            tx.exec_driver_sql("DELETE FROM problem WHERE key = 'quarantine:1'")
            tx.exec_driver_sql("UPDATE problem SET severity = 'warning' WHERE key = 'quarantine:2'")
        post.reopen()
        with post.engine_runs():
            assert {one.problem.key for one in post.problems.errors()} == {"quarantine:1", "quarantine:2"}
        assert "ValueError: alt" in post.open_problems()["quarantine:1"]


def test_what_is_over_is_told_no_more(tmp_path: Path) -> None:
    """It died after the commit of a task of which a problem told; another task is failing still."""
    with post_in(tmp_path, script=BROKEN, tries=(0, 60)) as post:
        post.receive("eins")
        post.receive("zwei")
        post.work()
        with post.stores.database.write() as tx:
            tx.exec_driver_sql("UPDATE task SET state = 'done' WHERE id = 1")
            tx.exec_driver_sql(
                "INSERT INTO problem SELECT 'quarantine:99', severity, \"where\", what, way_out, since,"
                " last_at FROM problem WHERE key = 'quarantine:1'"
            )
        post.reopen()
        with post.engine_runs():
            assert list(post.open_problems()) == ["quarantine:2"]
        assert post.ask("SELECT key FROM problem") == [("quarantine:2",)]


# ---------------------------------------------------------------- versions


def test_a_rerun_takes_the_version_that_failed_or_the_present_one(tmp_path: Path) -> None:
    with post_in(tmp_path, script=BROKEN) as post:
        post.receive("eins")
        post.receive("zwei")
        post.work()
        post.save(MENDED)
        people = Quarantine(post.stores.database)
        people.rerun(held(post, mail_id=1), same=True, by="cli:mue", why="", now=post.now())
        people.rerun(held(post, mail_id=2), same=False, by="cli:mue", why="", now=post.now())
        post.work()
        assert post.states() == [(1, "script", "quarantined"), (2, "script", "done")]
        versions = [sha for (sha,) in post.ask("SELECT script_sha256 FROM run ORDER BY id")]
        assert versions == [versions[0]] * 3 + [post.snapshot.scripts["onEMail.py"].sha256]
        assert post.ask("SELECT attempts FROM task") == [(1,), (1,)]  # counted from the start


def test_a_rerun_repeats_nothing_that_is_there(tmp_path: Path) -> None:
    with post_in(tmp_path, script=BROKEN) as post:
        post.receive("eins", methods=("script", "document"))
        post.work()
        assert post.ask("SELECT count(*) FROM message_form") == [(1,)]  # of the other method
        post.save(MENDED)
        people = Quarantine(post.stores.database)
        people.rerun(held(post), same=False, by="cli:mue", why="", now=post.now())
        post.work()
        assert post.states() == [(1, "script", "done"), (1, "document", "done")]
        assert post.ask("SELECT count(*) FROM message_form") == [(1,)]


def test_what_is_repeated_by_force_is_done_once_more(post: Post) -> None:
    post.receive("Alarm")
    post.work()
    post.stores.intake.settled([1], "seen", post.now())
    people = Quarantine(post.stores.database)
    done = people.tasks(Which(mail_id=1))
    assert [one.words for one in people.carried_out(done)] == [
        "notice (alarm) to all: Alarm",
        "mail to mue@thw.example: 'Geheim'",
    ]
    assert len(people.repeat(done, same=True, by="cli:mue", why="Probe", now=post.now())) == 1
    assert post.ask("SELECT state, settle, settled_by, settled_at FROM mail") == [("read", "waiting", None, None)]
    post.work()
    assert post.ask("SELECT state, settle FROM mail") == [("done", "waiting")]
    assert post.ask("SELECT count(*), count(DISTINCT key) FROM act") == [(2, 2)]
    assert post.ask("SELECT count(*) FROM notice") == [(2,)]
    assert post.ask("SELECT generation, state FROM task") == [(1, "done")]
    assert post.ask("SELECT kind, by, why FROM task_entry") == [("rerun", "cli:mue", "Probe")]


# ---------------------------------------------------------------- order and log


def test_a_fresh_mail_goes_before_what_people_run_again(tmp_path: Path) -> None:
    with post_in(tmp_path, script=BROKEN) as post:
        for number in range(3):
            post.receive(f"alt {number}")
        post.work()
        post.save(SCRIPT)
        people = Quarantine(post.stores.database)
        people.rerun(held(post), same=False, by="cli:mue", why="", now=post.now())
        post.receive("neu")
        post.work()
        assert [text for (text,) in post.ask("SELECT text FROM notice ORDER BY id")] == [
            "neu",
            "alt 0",
            "alt 1",
            "alt 2",
        ]


def test_each_step_is_one_line_without_what_the_mail_says(post: Post) -> None:
    with capture_logs() as logs:
        post.receive("Müller vermisst")
        post.work()
    told = [one for one in logs if one["log_level"] != "debug"]
    assert [one["event"] for one in told] == ["read", "committed"]
    assert "Müller" not in str(told)
    assert "thw.example" not in str(told)
    committed = told[-1]
    assert (committed["mail"], committed["task"], committed["effects"]) == (1, 1, ["notify", "send_mail"])
    assert committed["targets"] == ["notice:1", "act:1"]
    [words] = [one["words"] for one in logs if one["event"] == "effects"]
    assert words == ["notice (alarm) to all: Müller vermisst", "mail to mue@thw.example: 'Geheim'"]
