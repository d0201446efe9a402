"""The guard as a whole: its threads, what it calls well, and parts that fail."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from revscript.errors import StoreError
from revscript.health import Guard, HostClock, Sign
from revscript.health import guard as guard_module
from revscript.model import Problem
from tests.health.kit import Instance, account, snapshot
from tests.instance import smtp, wait_until
from tests.servers.ca import CertificateAuthority
from tests.servers.http import HttpReceiver
from tests.servers.smtp_sink import SmtpSink


class Watch(Instance):
    """An instance with its guard."""

    def __init__(self, root: Path, accounts: dict[str, dict[str, Any]], settings: dict[str, Any] | None = None) -> None:
        super().__init__(root, accounts, settings)
        self.clock = HostClock(self.time.wall, self.problems, self.time.steady)
        self.signs: list[Sign] = []
        self.restarted: list[str] = []
        self.threads_live = True
        self.guard = Guard(
            root=root,
            database=self.database,
            canaries=self.canaries,
            mail=self.mail,
            bell=self.bell,
            problems=self.problems,
            host_clock=self.clock,
            snapshot=lambda: self.snapshot,
            signs=lambda: self.signs,
            restart=self.restarted.append,
            well=lambda: self.threads_live,
            clock=self.time.wall,
            monotonic=self.time.steady,
        )

    def after(self, seconds: float) -> None:
        """Some time later, after a round."""
        self.time.pass_(seconds)
        self.guard.round()


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    """One account that expects a mail each hour."""
    made = Watch(tmp_path, {"post": account(expect_every=60)})
    yield made
    made.database.close()


def keys(watch: Watch) -> list[str]:
    """What stands."""
    return sorted(one.problem.key for one in watch.problems.standing())


def test_each_round_looks_at_everything(watch: Watch) -> None:
    watch.look("post")
    watch.after(10)
    assert keys(watch) == []
    watch.time.pass_(3700)
    watch.look("post")
    watch.signs = [Sign("post", "post", watch.time.steady() - 3700, None, 60.0, False)]
    watch.after(0)
    assert keys(watch) == ["silent:post", "stale:post"]
    assert watch.restarted == ["post"]
    watch.time.set_wall(-3600)
    watch.after(5)
    assert "clock" in keys(watch)


def test_what_counts_as_well(watch: Watch) -> None:
    assert watch.guard.is_well()
    watch.problems.report(Problem("lane:x", "x", "y", "z", "warning"))
    assert watch.guard.is_well()
    watch.problems.report(Problem("mailbox:x", "x", "y", "z"))
    assert not watch.guard.is_well()
    watch.problems.clear("mailbox:x")
    watch.threads_live = False
    assert not watch.guard.is_well()
    watch.threads_live = True
    watch.time.pass_(61)
    assert not watch.guard.is_well()  # the thread of the rounds does not move
    watch.after(0)
    assert watch.guard.is_well()


def test_a_mailbox_that_was_not_looked_into_is_not_well(watch: Watch) -> None:
    watch.signs = [Sign("post", "post", watch.time.steady(), None, 60.0, False)]
    assert not watch.guard.is_well()
    watch.signs = [Sign("post", "post", watch.time.steady(), watch.time.steady() + 1, 60.0, False)]
    assert watch.guard.is_well()


def test_a_part_that_fails_keeps_no_other_from_looking(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: object) -> None:
        raise KeyError("bug")

    monkeypatch.setattr(watch.guard._watchdog, "check", bug)
    monkeypatch.setattr(watch.guard._canaries, "check", bug)
    watch.time.pass_(3700)
    watch.look("post")
    watch.after(0)
    assert keys(watch) == ["check:canaries", "check:watchers", "silent:post"]
    monkeypatch.undo()
    watch.after(5)
    assert keys(watch) == ["silent:post"]


def test_a_store_that_is_gone_is_told(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise StoreError("disk is full", hint="Make room.")

    monkeypatch.setattr(watch.guard._silence, "check", gone)
    before = watch.guard.moved_at
    watch.after(30)
    (first,) = watch.problems.standing()
    assert first.problem.key == "store"
    for _ in range(30):
        watch.after(2)
    assert watch.problems.standing() == [first]  # all the time, so that it is told outside in the end
    monkeypatch.undo()
    assert watch.guard.moved_at > before
    watch.after(5)
    assert watch.problem("store") is None  # asked and written to


def test_what_the_database_did_not_take_is_written_later(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch.problems, "_write", lambda: False)
    watch.problems.report(Problem("mailbox:x", "x", "y", "z"))
    monkeypatch.undo()
    watch.after(2)
    assert not watch.problems._unwritten


def test_the_threads_start_work_and_stop(
    tmp_path: Path, ca: CertificateAuthority, smtp_sink: SmtpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the real threads: a heartbeat, a problem by both ways, a canary; then a stop."""
    monkeypatch.setattr(guard_module, "TICK", 0.02)
    monkeypatch.setattr("revscript.health.heartbeat.TICK", 0.02)
    monkeypatch.setattr("revscript.health.escalation.TICK", 0.02)
    ca.write(tmp_path / "ca.pem")
    sender = {"address": "alert@fuest.example", "sending": smtp(smtp_sink.port)}
    with HttpReceiver(ca) as https:
        settings = {
            "network": {"ca_file": "ca.pem"},
            "heartbeat": {"url": https.url.replace("hook", "beat"), "every": 5},
            "alerts": {"after": 3, "webhook": https.url, "mail": {"account": "alert", "to": ["s6@x.example"]}},
        }
        accounts = {"alert": sender, "post": account(canary=True, sending=smtp(smtp_sink.port))}
        watch = Watch(tmp_path, accounts, settings)
        https.date = lambda: watch.time.true
        watch.guard.start()
        try:
            https.wait_for(1)
            wait_until(lambda: watch.canaries.last("post") is not None, 10, "a canary")
            watch.problems.report(Problem("mailbox:post", "account post", "Down.", "Mend it."))
            watch.time.pass_(181)
            smtp_sink.wait_for(1)
            https.wait_for(2)
            names = {thread.name for thread in threading.enumerate()}
            assert {"health", "heartbeat", "alert-mail", "alert-webhook"} <= names
            watch.snapshot = snapshot(accounts)  # nothing of this any more
        finally:
            watch.guard.stop()
        assert not any(thread.name in ("health", "heartbeat") for thread in threading.enumerate())
        assert [call.path.split("/")[1] for call in https.calls] == ["beat", "hook"]
        watch.database.close()
