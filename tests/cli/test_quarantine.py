"""`revscript quarantine`, as its users call it: without a host, and beside one."""

from __future__ import annotations

import getpass
import sqlite3
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from revscript.cli.options import stores_of
from revscript.cli.rerun import Work
from revscript.host import DATABASE
from revscript.snapshot import Instance
from revscript.store.database import Database
from revscript.store.quarantine import Held, Which
from tests.cli.command import COMMAND, environment, no_traceback, revscript
from tests.cli.filled import filled
from tests.engine.kit import Post, post_in
from tests.instance import rows, wait_until

ME = f"cli:{getpass.getuser()}"


@pytest.fixture
def own(tmp_path: Path) -> Instance:
    """An instance of which mail 1 is done, mail 2 in quarantine, mail 3 waiting."""
    return filled(tmp_path)


def tasks(instance: Instance) -> list[tuple[Any, ...]]:
    return rows(instance, "SELECT mail_id, method, state FROM task ORDER BY mail_id, id")


def test_the_list(instance: Instance) -> None:
    [row] = revscript("quarantine", "list", "--json", cwd=instance.root).rows
    assert row == {
        "mail": 2,
        "account": "post",
        "method": "script",
        "script": "onEMail.py",
        "since": "2026-03-01T11:00:05.000+00:00",
        "attempts": 2,
        "reason": "KeyError: 'Stichwort' (line 7)",
        "line": 7,
        "late": True,
        "from": "alarm@leitstelle.example",
        "subject": "Störung",
    }
    for narrow in (("--task", "document"), ("--script", "other.py"), ("--account", "thw")):
        assert revscript("quarantine", "list", *narrow, cwd=instance.root).out == "none\n"
    for narrow in (("--task", "script"), ("--script", "onEMail.py"), ("--account", "post")):
        assert len(revscript("quarantine", "list", "--json", *narrow, cwd=instance.root).rows) == 1


def test_one_shown(own: Instance) -> None:
    script = own.user_scripts / "onEMail.py"
    done = revscript("quarantine", "show", "2", "--eml", "mail.eml", cwd=own.root)
    assert "reason:    KeyError: 'Stichwort' (line 7)" in done.out
    assert "the file is still the same" in done.out
    assert "untouched on its server: imap://einsatz@imap.fuest.example/INBOX, no. 2; here 16 bytes" in done.out
    assert "late: alarms are downgraded" in done.out
    assert "revscript try user_scripts/onEMail.py mail.eml" in done.out
    assert (own.root / "mail.eml").read_bytes() == b"Subject: 2\n\nText"
    assert (own.root / "mail.eml").stat().st_mode & 0o777 == 0o600
    script.write_text(script.read_text() + "#\n")
    [row] = revscript("quarantine", "show", "2", "--json", cwd=own.root).rows
    assert (row["changed"], row["frames"][-1]) == (True, {"line": 7, "function": "value", "text": None})
    assert row["frames"][0]["line"] == 3
    assert row["raw"]["size"] == 16
    assert row["ways_out"][0].startswith("revscript quarantine rerun 2 --new-script")
    again = revscript("quarantine", "show", "2", "--eml", "mail.eml", cwd=own.root)
    assert (again.code, again.err) == (1, "error: mail.eml: File exists.\n")


@pytest.mark.parametrize(("chosen", "bound", "hint"), [((), True, True), (("--same-script",), True, False)])
def test_a_rerun_takes_the_version_that_failed(own: Instance, chosen: tuple[str, ...], bound: bool, hint: bool) -> None:
    (own.user_scripts / "onEMail.py").write_text("def onEMail(mail):\n    pass\n")
    done = revscript("quarantine", "rerun", "2", *chosen, "--why", "Nachtrag", cwd=own.root)
    assert done.code == 0
    assert "mail 2, script: runs again with onEMail.py, version " in done.out
    assert ("take the version that failed; to take the present one, use --new-script" in done.out) == hint
    assert "No host runs now" in done.out
    found = (
        "SELECT task.state, attempts, task.script_sha256 = run.script_sha256 FROM task JOIN run ON task_id = task.id"
    )
    assert rows(own, f"{found} WHERE mail_id = 2 GROUP BY task_id") == [("waiting", 0, bound)]
    assert rows(own, "SELECT kind, by, why FROM task_entry") == [("rerun", ME, "Nachtrag")]


def test_a_rerun_with_the_present_script(own: Instance) -> None:
    done = revscript("quarantine", "rerun", "--script", "onEMail.py", "--new-script", "--yes", "--json", cwd=own.root)
    assert done.rows == [
        {
            "mail": 2,
            "account": "post",
            "method": "script",
            "done": "rerun",
            "script": "onEMail.py",
            "script_sha256": None,
            "changed": False,
        }
    ]
    assert rows(own, "SELECT script_sha256 FROM task WHERE mail_id = 2 AND method = 'script'") == [(None,)]
    assert rows(own, "SELECT count(*) FROM problem WHERE key LIKE 'quarantine:%'") == [(0,)]


def test_discarding(own: Instance) -> None:
    for blank in ("", "  "):
        refused = revscript("quarantine", "discard", "2", "--why", blank, cwd=own.root)
        assert (refused.code, "must not be blank" in refused.err) == (2, True)
    assert revscript("quarantine", "discard", "2", cwd=own.root).code == 2
    done = revscript("quarantine", "discard", "2", "--why", "Werbung", "--json", cwd=own.root)
    assert done.rows == [{"mail": 2, "account": "post", "method": "script", "done": "discarded"}]
    assert tasks(own)[2:4] == [(2, "script", "discarded"), (2, "document", "waiting")]
    assert rows(own, "SELECT state FROM mail WHERE id = 2") == [("read",)]
    assert rows(own, "SELECT reason FROM task WHERE state = 'discarded'") == [("Werbung",)]
    again = revscript("quarantine", "discard", "2", "--why", "Werbung", cwd=own.root)
    assert (again.code, again.err.splitlines()[0]) == (1, "error: Nothing of mail 2 is in quarantine.")


@pytest.mark.parametrize(("typed", "state"), [("1\n", "waiting"), ("2\n", "quarantined"), ("", "quarantined")])
def test_many_at_once_want_their_number(own: Instance, typed: str, state: str) -> None:
    command = [*COMMAND, "quarantine", "rerun", "--all"]
    done = subprocess.run(
        command, cwd=own.root, env=environment(), input=typed, capture_output=True, encoding="utf-8", timeout=60
    )
    assert "This means 1 task of 1 mail." in done.stdout
    assert done.returncode == (0 if state == "waiting" else 1)
    assert tasks(own)[2] == (2, "script", state)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("rerun",), 2, "name either a mail's ID, or --script, --account or --all"),
        (("rerun", "2", "--all"), 2, "name either a mail's ID, or --script, --account or --all"),
        (("rerun", "--all", "--json"), 2, "with --json many tasks at once need --yes"),
        (("rerun", "--account", "thw", "--yes"), 1, "Nothing of that is in quarantine."),
        (("rerun", "9"), 1, "There is no mail 9."),
        (("rerun", "3"), 1, "Mail 3 is still being worked: script is waiting, document is waiting. Nothing was done."),
        (("rerun", "3", "--task", "centre"), 1, "Mail 3 has no such task."),
        (("show", "1"), 1, "Nothing of mail 1 is in quarantine."),
        (("discard", "1", "--why", "x"), 1, "Nothing of mail 1 is in quarantine."),
    ],
)
def test_what_cannot_be_done(instance: Instance, arguments: tuple[str, ...], code: int, text: str) -> None:
    before = tasks(instance)
    done = revscript("quarantine", *arguments, cwd=instance.root)
    assert (done.code, done.out) == (code, "")
    assert text in done.err
    assert "Traceback" not in done.err
    assert tasks(instance) == before


def test_a_done_mail_is_repeated_by_force_only(own: Instance) -> None:
    shown = revscript("quarantine", "rerun", "1", cwd=own.root)
    assert shown.code == 1
    assert "script: notice (alarm) to role S3: B 3 [bold]Beispielweg[/bold]" in shown.out
    assert "'Alarm'  ← goes out again" in shown.out
    assert "Nothing was done. To repeat all of it, use --force." in shown.out
    would = revscript("quarantine", "rerun", "1", "--json", cwd=own.root)
    assert (would.code, len(would.rows)) == (1, 7)
    assert [row["would"] for row in would.rows if row["leaves"]] == [
        "mail to wehr@fuest.example, stab@fuest.example: 'Alarm'"
    ]
    assert tasks(own)[:2] == [(1, "script", "done"), (1, "document", "done")]
    forced = revscript("quarantine", "rerun", "1", "--task", "document", "--force", "--json", cwd=own.root)
    assert [(row["method"], row["done"]) for row in forced.rows] == [("document", "repeated")]
    assert tasks(own)[:2] == [(1, "script", "done"), (1, "document", "waiting")]
    assert rows(own, "SELECT state, settle FROM mail WHERE id = 1") == [("read", "waiting")]


def test_a_mail_that_was_removed_cannot_be_repeated(own: Instance) -> None:
    database = Database(own.data / DATABASE)
    with database.write() as tx:
        tx.exec_driver_sql("UPDATE mail SET purged_at = '2026-06-01T00:00:00.000000Z' WHERE id = 1")
    database.close()
    done = revscript("quarantine", "rerun", "1", "--force", cwd=own.root)
    assert no_traceback(done)
    assert "Mail 1 was removed on 2026-06-01 (retention): it cannot run again." in done.err
    told = revscript("trace", "1", cwd=own.root)
    assert "removed: raw mail and reading, because their time was over (retention)" in told.out


def test_many_are_worked_in_steps(
    own: Instance, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C, or a full disk, between two steps leaves whole ones, and says how far it got."""
    monkeypatch.setattr("revscript.cli.rerun.STEP", 2)
    with sqlite3.connect(own.data / DATABASE) as connection:
        connection.execute("UPDATE task SET state = 'quarantined'")
    connection.close()
    with stores_of(own) as stores:
        work = Work(own, stores, as_json=True)
        held = work.quarantine.held(Which())
        assert len(held) == 6
        discard, steps = work.quarantine.discard, list[int]()

        def interrupted(which: Sequence[Held], **how: Any) -> list[Held]:
            steps.append(len(which))
            if len(steps) == 3:
                raise KeyboardInterrupt
            return discard(which, **how)

        monkeypatch.setattr(work.quarantine, "discard", interrupted)
        with pytest.raises(KeyboardInterrupt):
            work.discard(held, "Werbung")
        assert steps == [2, 2, 2]
        out, err = capsys.readouterr()
        assert len(out.splitlines()) == 4
        assert err == "error: Ended after 4 of 6 tasks; `revscript quarantine list` shows what is left.\n"
        assert [one.id for one in work.quarantine.held(Which())] == [one.id for one in held[4:]]
        work.rerun(work.quarantine.held(Which()), new_script=None, why="")
    assert rows(own, "SELECT state, count(*) FROM task GROUP BY state ORDER BY state") == [
        ("discarded", 4),
        ("waiting", 2),
    ]


def test_beside_a_running_engine(tmp_path: Path) -> None:
    """It notices the commit and takes up what waits; what was discarded rings for the watcher."""
    with post_in(tmp_path, script='def onEMail(mail):\n    raise ValueError("alt")\n') as post, post.engine_runs():
        finished: list[str | None] = []
        post.bell.listen("finished", finished.append)
        post.receive("eins")
        post.receive("zwei")
        post.bell.ring("received")
        post.wait_for("SELECT count(*) FROM task WHERE state = 'quarantined'", 2, "both have failed")
        post.stores.database.others_committed()
        post.save_unnoticed("def onEMail(mail):\n    notify.all(mail.subject)\n")
        assert revscript("quarantine", "rerun", "1", "--new-script", cwd=tmp_path).code == 0
        _notice(post)
        post.wait_for("SELECT state FROM task WHERE mail_id = 1", "done", "the first has run")
        assert revscript("quarantine", "discard", "2", "--why", "Werbung", cwd=tmp_path).code == 0
        _notice(post)
        assert finished == ["post", None, None] or finished == [None, "post", None]
    assert rows(post.instance, "SELECT state FROM mail") == [("done",), ("done",)]
    assert rows(post.instance, "SELECT text FROM notice") == [("eins",)]


def _notice(post: Post) -> None:
    """What the host does twice a second."""
    wait_until(post.stores.database.others_committed, 10, "the other process's commit")
    post.bell.ring_all()
