"""A script that was mended: what its older version failed on runs again by itself, one mail first."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from revscript.store.quarantine import Quarantine, Which
from tests.engine.kit import SCRIPT, Post, account, post_in

BROKEN = 'def onEMail(mail):\n    notify.all("x")\n    raise ValueError("alt")\n'
STILL_BROKEN = 'def onEMail(mail):\n    raise ValueError("neu")\n'
MENDED = 'def onEMail(mail):\n    notify.all(mail.subject, level="alarm")\n'
HALF_MENDED = 'def onEMail(mail):\n    if "2" in mail.subject:\n        raise ValueError("neu")\n    notify.all("ok")\n'
HELD = "SELECT count(*) FROM task WHERE state = 'quarantined'"
DONE = "SELECT count(*) FROM task WHERE state = 'done'"
TWO = {"a": account("a"), "b": account("b")}


RUNS = "SELECT script_sha256, count(*) FROM run GROUP BY 1 ORDER BY min(id)"


def test_one_first_then_the_others_one_at_a_time(tmp_path: Path) -> None:
    with post_in(tmp_path, TWO, script=BROKEN) as post, post.engine_runs(), capture_logs() as logs:
        for number in range(8):
            post.receive(f"Meldung {number}", of="ab"[number % 2])
        post.bell.ring("received")
        post.wait_for(HELD, 8, "all have failed")
        post.save(MENDED)
        post.wait_for(DONE, 8, "all are healed")
    told = [(one["event"], one["mail"]) for one in logs if one["event"] in ("healed", "committed")]
    assert told[:2] == [("healed", 1), ("committed", 1)]
    for mails in ([1, 3, 5, 7], [2, 4, 6, 8]):
        one_account = [one for one in told if one[1] in mails]
        assert one_account == [(word, mail) for mail in mails for word in ("healed", "committed")]
    assert sorted(text for (text,) in post.ask("SELECT text FROM notice")) == [f"Meldung {n}" for n in range(8)]
    assert post.open_problems() == {}
    assert post.ask("SELECT count(*) FROM problem") == [(0,)]
    assert {row[:2] for row in post.ask("SELECT kind, by FROM task_entry")} == {("healed", f"reload:{SCRIPT}")}


def test_when_the_first_fails_again_the_others_stay(tmp_path: Path) -> None:
    with post_in(tmp_path, script=BROKEN) as post, post.engine_runs():
        for number in range(4):
            post.receive(f"Meldung {number}")
        post.bell.ring("received")
        post.wait_for(HELD, 4, "all have failed")
        post.save(STILL_BROKEN)
        post.wait_for("SELECT count(*) FROM problem WHERE key LIKE 'healable:%'", 1, "the others are offered")
        assert [count for _, count in post.ask(RUNS)] == [4, 1]
        what = post.open_problems()["healable:onEMail.py"]
        assert what.startswith("3 mails in quarantine on which an older version of this script failed wait: ")
        assert "failed again, on mail 1 (ValueError: neu (line 2))" in what
        post.save(MENDED)
        post.wait_for(DONE, 4, "the next version heals them")
        post.wait_for("SELECT count(*) FROM problem", 0, "nothing is offered any more")
    assert post.open_problems() == {}


def test_one_that_fails_later_holds_up_nobody(tmp_path: Path) -> None:
    with post_in(tmp_path, script=BROKEN) as post, post.engine_runs():
        for number in range(1, 5):
            post.receive(f"Meldung {number}")
        post.bell.ring("received")
        post.wait_for(HELD, 4, "all have failed")
        post.save(HALF_MENDED)
        post.wait_for(DONE, 3, "three are healed")
    assert post.states()[1] == (2, "script", "quarantined")
    assert list(post.open_problems()) == ["quarantine:2"]


def test_old_ones_are_offered_and_late(tmp_path: Path) -> None:
    with post_in(tmp_path, script=BROKEN) as post, post.engine_runs():
        for number in range(3):
            post.receive(f"Meldung {number}")
        post.bell.ring("received")
        post.wait_for(HELD, 3, "all have failed")
        post.later = timedelta(hours=1)
        post.save(MENDED)
        post.wait_for("SELECT count(*) FROM problem WHERE key LIKE 'healable:%'", 1, "they are offered")
        [offer] = [one.problem for one in post.problems.standing() if one.problem.key == "healable:onEMail.py"]
        assert offer.what.startswith("3 mails in quarantine")
        assert offer.severity == "warning"
        assert "`revscript quarantine rerun --script onEMail.py --new-script`" in offer.way_out
        assert post.ask(HELD) == [(3,)]
        people = Quarantine(post.stores.database)  # in another process: the command line
        with capture_logs() as logs:
            held = people.held(Which(script=SCRIPT))
            people.rerun(held, same=False, by="cli:mue", why="", now=post.now())
            post.bell.ring_all()
            post.wait_for(DONE, 3, "they have run")
        assert [(one["mail"], one["by"]) for one in logs if one["event"] == "rerun"] == [
            (n, "cli:mue") for n in (1, 2, 3)
        ]
    assert post.ask("SELECT DISTINCT level, wished_level FROM notice") == [("important", "alarm")]
    assert post.open_problems() == {}


def test_one_that_is_healed_is_an_error_until_it_is_done(tmp_path: Path) -> None:
    with post_in(tmp_path, script=BROKEN, tries=(0, 1)) as post:

        def told() -> list[tuple[str, str]]:
            return [(one.problem.key, one.problem.severity) for one in post.problems.standing()]

        post.receive("Meldung")
        post.work()
        assert told() == [("quarantine:1", "warning")]
        post.later = timedelta(minutes=2)
        post.work()
        assert told() == [("quarantine:1", "error")]
        [before] = post.problems.standing()
        post.save(STILL_BROKEN)
        heal(post)
        assert post.states() == [(1, "script", "waiting")]
        assert told() == [("quarantine:1", "error")]
        post.work()  # it fails, and is tried again
        assert post.states() == [(1, "script", "waiting")]
        assert "try 1 of 2: ValueError: neu" in post.open_problems()["quarantine:1"]
        assert told() == [("quarantine:1", "error")]
        assert post.problems.standing()[0].began == before.began
        assert post.ask("SELECT severity FROM problem") == [("error",)]
        post.save(MENDED)
        heal(post)
        post.later = timedelta(minutes=4)
        post.work()
        assert post.states() == [(1, "script", "done")]
        assert told() == []


def test_a_restart_in_the_middle(tmp_path: Path) -> None:
    """The first one is under way when the host stops: it stays the only one."""
    with post_in(tmp_path, script=BROKEN) as post:
        for number in range(3):
            post.receive(f"Meldung {number}")
        post.work()
        post.save(MENDED)
        heal(post)
        waiting = "SELECT mail_id FROM task WHERE state = 'waiting'"
        assert post.ask(waiting) == [(1,)]
        for _ in range(2):
            post.reopen()
            post.engine.scripts_changed(post.snapshot.scripts)
            heal(post)
            assert post.ask(waiting) == [(1,)]
        with post.engine_runs():
            post.wait_for(DONE, 3, "all are healed")


def heal(post: Post) -> None:
    """What the engine does before it looks for work."""
    post.engine.healing.step(post.snapshot)


def test_what_waits_for_its_next_try_runs_at_once(tmp_path: Path) -> None:
    with post_in(tmp_path, script=BROKEN, tries=(0, 60)) as post, post.engine_runs():
        post.receive("Meldung")
        post.bell.ring("received")
        post.wait_for("SELECT attempts FROM task WHERE not_before > '2000'", 1, "it waits an hour")
        post.save(MENDED)
        post.wait_for(DONE, 1, "it did not wait")
    assert post.open_problems() == {}


def test_a_script_that_was_missing_heals(tmp_path: Path) -> None:
    with post_in(tmp_path, script=BROKEN) as post:
        (post.instance.user_scripts / SCRIPT).rename(post.instance.user_scripts / "other.py")
        post.engine.scripts_changed([])
        post.snapshot = type(post.snapshot)(**_without_scripts(post))
        post.receive("Meldung")
        post.work()
        assert post.states() == [(1, "script", "quarantined")]
        with post.engine_runs():
            post.save(MENDED)
            post.wait_for(DONE, 1, "it is healed")


def _without_scripts(post: Post) -> dict[str, Any]:
    fields = type(post.snapshot).__dataclass_fields__
    return {name: getattr(post.snapshot, name) for name in fields} | {"scripts": {}}


@pytest.mark.parametrize("reason", ["the host died", "bound to its version"])
def test_what_no_script_heals(tmp_path: Path, reason: str) -> None:
    with post_in(tmp_path, script=BROKEN) as post:
        post.receive("Meldung")
        post.work()
        if reason == "the host died":
            with post.stores.database.write() as tx:
                tx.exec_driver_sql("UPDATE task SET interruptions = 8")
        else:
            people = Quarantine(post.stores.database)
            people.rerun(people.held(Which()), same=True, by="cli:mue", why="", now=post.now())
        post.save(MENDED)
        heal(post)
        state, kinds = ("quarantined", []) if reason == "the host died" else ("waiting", [("rerun",)])
        assert post.states() == [(1, "script", state)]
        assert post.ask("SELECT kind FROM task_entry") == kinds


def test_nothing_that_another_script_left_is_touched(tmp_path: Path) -> None:
    with post_in(tmp_path, script=BROKEN) as post:
        post.receive("Meldung", methods=("script", "document"))
        post.work()
        post.engine.scripts_changed(["other.py"])
        heal(post)
        assert post.states() == [(1, "script", "quarantined"), (1, "document", "done")]
        post.engine.scripts_changed([SCRIPT])  # and nothing when its content is the same
        heal(post)
        assert post.ask(HELD) == [(1,)]
