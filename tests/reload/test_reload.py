"""The reload thread with real files and real events; scripts are taken unchecked here (see test_load)."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from revscript.errors import JailBroken
from revscript.model import Problem
from revscript.reload import Changes, Reload, reload, watching
from revscript.snapshot import Snapshot, alone, compose, read_files
from tests.instance import make_instance, wait_until

SCRIPT = "def onEMail(mail):\n    pass\n"
ACCOUNT: dict[str, Any] = {
    "address": "einsatz@fuest.example",
    "authentication": {"method": "password", "username": "einsatz", "password": "secret:post"},
    "receiving": {"protocol": "imap", "host": "imap.fuest.example"},
    "methods": {"script": True},
}


class Sink:
    """Standing problems."""

    def __init__(self) -> None:
        self.standing: dict[str, Problem] = {}

    def report(self, problem: Problem) -> None:
        self.standing[problem.key] = problem

    def clear(self, key: str) -> None:
        self.standing.pop(key, None)


class Post:
    """An instance under a running reload."""

    def __init__(self, root: Path) -> None:
        self.instance = make_instance(root, {"post": ACCOUNT}, {"onEMail.py": SCRIPT})
        self.secret("one")
        self.problems = Sink()
        self.loads = 0
        self.trouble: Exception | None = None
        self.snapshot = self.load(None)
        self.applied: list[Changes] = []
        self.reload = Reload(self.instance, self.load, lambda: self.snapshot, self.apply, self.problems)

    def load(self, before: Snapshot | None) -> Snapshot:
        self.loads += 1
        if self.trouble:
            raise self.trouble
        files = read_files(self.instance)
        return compose(files, alone(files.texts), before)

    def apply(self, snapshot: Snapshot, changes: Changes) -> None:
        assert threading.current_thread().name == "reload"
        self.snapshot = snapshot
        self.applied.append(changes)

    def secret(self, value: str) -> None:
        self.instance.secrets.mkdir(exist_ok=True)
        (self.instance.secrets / "post").touch(mode=0o600)
        (self.instance.secrets / "post").write_text(value)

    def save(self, name: str, text: str) -> None:
        """As careful programs do: a new file takes the old one's place."""
        path = self.instance.root / name
        partial = path.with_name(f".{path.name}.swp")
        partial.write_text(text)
        partial.replace(path)

    def wait(self, true: Callable[[], bool], what: str) -> None:
        wait_until(true, 15, f"{what}; applied: {self.applied}")

    def script(self) -> str:
        return self.snapshot.scripts["onEMail.py"].text


@pytest.fixture
def post(tmp_path: Path) -> Generator[Post]:
    post = Post(tmp_path / "instance")
    post.reload.start()
    post.wait(lambda: post.loads >= 2, "the first look")
    yield post
    post.reload.stop()


def test_a_saved_script_is_in_force(post: Post) -> None:
    post.save("user_scripts/onEMail.py", SCRIPT + "# new\n")
    post.wait(lambda: post.script().endswith("# new\n"), "the new text")
    assert [one.scripts for one in post.applied] == [{"onEMail.py"}]
    assert post.applied[0].words[0].startswith("script onEMail.py changed: ")
    assert not post.applied[0].changed


def test_only_the_changed_account_is_named_never_its_values(post: Post) -> None:
    post.save("accounts/other.json", json.dumps(ACCOUNT | {"enabled": False}))
    post.wait(lambda: "other" in post.snapshot.accounts, "the new account")
    changed = ACCOUNT | {"authentication": ACCOUNT["authentication"] | {"password": "hunter2"}, "max_age": 5}
    post.save("accounts/post.json", json.dumps(changed))
    post.wait(lambda: post.snapshot.accounts["post"].max_age == 5, "the new age")
    assert [(set(one.added), set(one.changed)) for one in post.applied] == [({"other"}, set()), (set(), {"post"})]
    assert post.applied[1].words == ("account post changed: authentication.password, max_age",)
    (post.instance.accounts / "other.json").unlink()
    post.wait(lambda: "other" not in post.snapshot.accounts, "the end of the account")
    assert post.applied[2].removed == {"other"}


def test_a_secret_counts(post: Post) -> None:
    post.secret("two")
    post.wait(lambda: bool(post.applied), "the new secret")
    assert post.applied[0].changed == {"post"}
    assert post.applied[0].words == ("account post changed: authentication.password",)


def test_broken_and_mended(post: Post) -> None:
    good = post.snapshot.accounts["post"]
    post.save("accounts/post.json", '{\n  "address": "x@fuest.example",,\n}')
    post.wait(lambda: bool(post.snapshot.errors), "the error")
    (error,) = post.snapshot.errors
    assert (error.file, error.place) == ("accounts/post.json", "line 2, column 32")
    assert error.text.endswith("; the last good version stays in force")
    assert post.snapshot.accounts["post"] == good
    assert not post.applied[-1]  # nothing for the watchers to do
    post.save("settings.json", '{"tries": 7}')
    post.wait(lambda: len(post.snapshot.errors) == 2, "the other error")
    post.save("accounts/post.json", json.dumps(ACCOUNT | {"label": "mended"}))
    post.save("settings.json", '{"tries": [0, 7]}')
    post.wait(lambda: not post.snapshot.errors, "no error")
    assert post.snapshot.accounts["post"].label == "mended"
    assert post.snapshot.settings.tries == (0, 7)


def test_a_needed_script_that_is_gone_stays(post: Post) -> None:
    (post.instance.user_scripts / "onEMail.py").unlink()
    post.wait(lambda: bool(post.snapshot.errors), "the error")
    assert post.script() == SCRIPT
    assert "is gone, although an account runs it" in str(post.snapshot.errors[0])
    post.save("user_scripts/onEMail.py", SCRIPT)
    post.wait(lambda: not post.snapshot.errors, "the way back")


def test_folders_that_are_deleted_and_made_again(post: Post) -> None:
    for name in ("user_scripts", "accounts"):
        shutil.rmtree(post.instance.root / name)
    post.wait(lambda: len(post.snapshot.errors) == 2, "two errors")
    assert post.script() == SCRIPT
    assert list(post.snapshot.accounts) == ["post"]
    make_instance(post.instance.root, {"post": ACCOUNT}, {"onEMail.py": SCRIPT + "# again\n"})
    post.wait(lambda: post.script().endswith("# again\n") and not post.snapshot.errors, "the folders' new content")
    time.sleep(2 * reload.QUIET)  # until its events are over
    loads = post.loads
    post.save("user_scripts/onEMail.py", SCRIPT + "# third\n")
    post.wait(lambda: post.script().endswith("# third\n"), "a change in the new folder")
    assert post.loads > loads


def test_a_renamed_folder_is_not_followed(post: Post) -> None:
    moved = post.instance.root / "old_scripts"
    post.instance.user_scripts.rename(moved)
    post.instance.user_scripts.mkdir()
    (post.instance.user_scripts / "onEMail.py").write_text(SCRIPT + "# new folder\n")
    post.wait(lambda: post.script().endswith("# new folder\n"), "the folder in its place")
    (moved / "onEMail.py").write_text("no script of ours")
    post.save("user_scripts/onEMail.py", SCRIPT + "# and again\n")
    post.wait(lambda: post.script().endswith("# and again\n"), "a change in the new folder")


def test_what_editors_and_reading_leave_behind_is_no_change(post: Post) -> None:
    post.wait(lambda: not post.reload._news.is_set(), "quiet")
    time.sleep(2 * reload.SOON)
    applied, loads = len(post.applied), post.loads
    scripts = post.instance.user_scripts
    for name in (".onEMail.py.swp", "onEMail.py~", "4913", "#onEMail.py#", "test_on.py", "_old.py", "notes.txt"):
        (scripts / name).write_text("x")
    (post.instance.root / "data").mkdir()
    (post.instance.root / "data" / "revscript.db").write_text("x")
    (scripts / "onEMail.py").read_text()
    time.sleep(reload.LONGEST + reload.SWEEP)
    assert (len(post.applied), post.loads) == (applied, loads)
    os.utime(scripts / "onEMail.py")
    post.wait(lambda: post.loads > loads, "a look at the touched file")
    assert len(post.applied) == applied


def test_without_events_changes_are_found_by_looking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_inotify() -> None:
        raise OSError(24, "inotify instance limit reached")

    monkeypatch.setattr(watching, "Observer", no_inotify)
    post = Post(tmp_path / "instance")
    post.reload.start()
    post.wait(lambda: "reload:events" in post.problems.standing, "the problem")
    post.save("user_scripts/onEMail.py", SCRIPT + "# new\n")
    post.wait(lambda: post.script().endswith("# new\n"), "the new text")
    post.reload.stop()


def test_a_change_that_nothing_shows_is_found_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "Observer", lambda: (_ for _ in ()).throw(OSError("no events")))
    monkeypatch.setattr(reload, "signature", lambda _: dict[str, tuple[int, ...]]())  # pyright: ignore
    monkeypatch.setattr(reload, "COMPARE", 0.1)
    post = Post(tmp_path / "instance")
    post.reload.start()
    post.save("user_scripts/onEMail.py", SCRIPT.replace("pass", "note"))
    post.wait(lambda: "note" in post.script(), "the new text")
    post.reload.stop()


@pytest.mark.parametrize("trouble", [JailBroken("no jail"), RuntimeError("a fault of ours")], ids=["jail", "reload"])
def test_trouble_is_told_and_over_when_it_is_over(post: Post, trouble: Exception) -> None:
    key = "jail" if isinstance(trouble, JailBroken) else "reload"
    post.trouble = trouble
    post.save("user_scripts/onEMail.py", SCRIPT + "# new\n")
    post.wait(lambda: key in post.problems.standing, "the problem")
    assert post.script() == SCRIPT
    post.trouble = None
    post.wait(lambda: post.script().endswith("# new\n"), "the new text")
    assert key not in post.problems.standing


def test_files_that_change_while_they_are_read_are_read_again(tmp_path: Path) -> None:
    post = Post(tmp_path / "instance")
    whole = post.load

    def torn(before: Snapshot | None) -> Snapshot:
        snapshot = whole(before)
        if post.loads < 5:
            post.save("user_scripts/onEMail.py", SCRIPT + f"# {post.loads}\n")
        return snapshot

    post.reload = Reload(post.instance, torn, lambda: post.snapshot, post.apply, post.problems)
    post.reload.start()
    post.wait(lambda: post.script().endswith("# 4\n"), "the last text")
    assert len(post.applied) == 1  # never one of those in between
    post.reload.stop()
