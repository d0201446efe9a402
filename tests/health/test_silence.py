"""Mail that stays away, and watchers that hang."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from revscript.health.silence import Sign, Silence, Watchdog
from tests.health.kit import Instance, Sink, Time, account, snapshot

MINUTE = 60.0


class Quiet(Instance):
    """An instance whose mailboxes are watched for silence."""

    def __init__(self, root: Path, accounts: dict[str, dict[str, Any]]) -> None:
        super().__init__(root, accounts)
        self.trusted = True
        self.silence = self.started()

    def started(self) -> Silence:
        """The watch of a host that starts now."""
        return Silence(self.database, self.problems, self.time.wall, lambda: self.trusted)

    def after(self, minutes: float, *, look: bool = True) -> str | None:
        """Some time later, after a look into the mailbox: what is said of the account."""
        self.time.pass_(minutes * MINUTE)
        if look:
            self.look("post")
        self.silence.check(self.snapshot)
        found = self.problem("silent:post")
        return found.what if found else None


@pytest.fixture
def quiet(tmp_path: Path) -> Iterator[Quiet]:
    """One account that expects a mail each hour."""
    made = Quiet(tmp_path, {"post": account(expect_every=60)})
    yield made
    made.database.close()


def test_mail_that_stays_away_is_a_problem_until_the_next_comes(quiet: Quiet) -> None:
    quiet.look("post")
    quiet.receive("post")
    assert quiet.after(59) is None
    assert quiet.after(2) == (
        "No mail has come since 24.11.2026 10:00 UTC, although one is expected every 60 min (expect_every)."
    )
    before = quiet.problems.standing()
    quiet.after(500)
    assert quiet.problems.standing() == before  # the same words, so that it is logged once
    quiet.receive("post")
    assert quiet.after(1) is None
    assert quiet.after(61) is not None


def test_a_new_mailbox_has_its_time_from_the_first_look(quiet: Quiet) -> None:
    quiet.time.pass_(30 * MINUTE)
    quiet.look("post")
    assert quiet.after(29) is None
    said = quiet.after(120)
    assert said is not None
    assert "No mail has come at all; it is watched since" in said


def test_after_a_start_waiting_mails_are_fetched_first(quiet: Quiet) -> None:
    quiet.look("post")
    quiet.receive("post")
    quiet.time.pass_(600 * MINUTE)  # the host was off
    quiet.silence = quiet.started()
    assert quiet.after(1, look=False) is None  # nobody has looked yet: mails may lie there
    quiet.receive("post")
    assert quiet.after(1) is None
    quiet.time.pass_(600 * MINUTE)
    quiet.silence = quiet.started()
    assert quiet.after(1) is not None  # looked, and there was nothing


def test_a_mailbox_that_is_down_is_not_told_twice(quiet: Quiet) -> None:
    quiet.look("post")
    quiet.receive("post")
    quiet.time.pass_(70 * MINUTE)
    quiet.look("post", error="The server does not answer.")
    assert quiet.after(1, look=False) is None
    assert quiet.after(1) is not None


def test_a_clock_that_is_wrong_makes_nobody_silent(quiet: Quiet) -> None:
    quiet.look("post")
    quiet.receive("post")
    quiet.time.set_wall(3 * 3600)
    quiet.trusted = False
    assert quiet.after(1) is None
    quiet.time.set_wall(-3 * 3600)
    quiet.trusted = True
    assert quiet.after(1) is None
    assert quiet.after(60) is not None


def test_an_hour_set_back_hides_no_silence(tmp_path: Path) -> None:
    """The host started while its clock was an hour ahead."""
    quiet = Quiet(tmp_path, {"post": account(expect_every=10)})
    quiet.time.set_wall(3600)
    quiet.silence = quiet.started()
    quiet.time.set_wall(-3600)
    quiet.receive("post")
    assert quiet.after(5) is None
    assert quiet.after(6) is not None


def test_settings_that_change(quiet: Quiet) -> None:
    quiet.look("post")
    assert quiet.after(100) is not None
    quiet.snapshot = snapshot({"post": account(expect_every=1000)})
    assert quiet.after(1) is None
    quiet.snapshot = snapshot({"post": account(expect_every=60)})
    assert quiet.after(1) is not None
    for gone in ({"post": account()}, {}, {"post": account(expect_every=60, enabled=False)}):
        quiet.snapshot = snapshot({"post": account(expect_every=60)})
        quiet.silence.check(quiet.snapshot)
        assert quiet.problem("silent:post")
        quiet.silence.check(snapshot(gone))
        assert quiet.problem("silent:post") is None


def test_any_folder_counts(tmp_path: Path) -> None:
    folders = {"protocol": "imap", "host": "mail.fuest.example", "folders": ["INBOX", "Alarm"]}
    quiet = Quiet(tmp_path, {"post": account(expect_every=60, receiving=folders)})
    quiet.look("post")
    quiet.time.pass_(50 * MINUTE)
    quiet.receive("post", 1)
    assert quiet.after(50) is None
    assert quiet.after(20) is not None


def test_canaries_break_no_silence(tmp_path: Path) -> None:
    sending = {"protocol": "smtp", "host": "localhost", "authentication": {"method": "none"}}
    quiet = Quiet(tmp_path, {"post": account(expect_every=60, canary=True, sending=sending)})
    quiet.look("post")
    quiet.receive("post", message_id="alarm@leitstelle.example")
    now = quiet.time.wall()
    for turn in range(5):
        quiet.time.pass_(15 * MINUTE)
        flight = quiet.canaries.send("post", f"{turn:040x}@fuest.example", f"canary:post:{turn}", {}, now, now)
        mail_id = quiet.receive("post", read=False)
        quiet.silence.check(quiet.snapshot)  # not read yet: it may be anything
        quiet.read(mail_id, flight.message_id)
        quiet.silence.check(quiet.snapshot)
        if turn < 4:  # the last one has just been read
            assert quiet.canaries.recognise(mail_id, flight.message_id)
            quiet.ledger.ignore(mail_id, "canary", quiet.time.wall())
    assert quiet.after(1) is not None
    quiet.receive("post", message_id="next@leitstelle.example")
    assert quiet.after(1) is None


# ---------------------------------------------------------------- the watchers


class Kennel:
    """A watchdog, and one watcher's sign of life."""

    def __init__(self) -> None:
        self.time, self.sink = Time(), Sink()
        self.restarted: list[str] = []
        self.dog = Watchdog(self.sink, self.restarted.append, self.time.steady)
        self.started = self.time.steady()
        self.proved: float | None = None
        self.moved: float | None = None

    def check(self, *, failing: bool = False, alive: bool = True) -> bool:
        """Look; whether it is a problem now."""
        self.dog.check([Sign("post", "post", self.started, self.proved, 90.0, failing, alive, self.moved)])
        return "stale:post" in self.sink


def test_a_watcher_that_hangs_is_told_and_started_anew() -> None:
    kennel = Kennel()
    for _ in range(10):
        kennel.time.pass_(300)
        kennel.proved = kennel.time.steady()
        assert not kennel.check()
    kennel.time.pass_(329)
    assert not kennel.check()
    kennel.time.pass_(2)
    assert kennel.check()
    assert kennel.restarted == ["post"]
    kennel.started, kennel.proved = kennel.time.steady(), None
    kennel.time.pass_(10)
    assert kennel.check()  # started anew, but nothing is proved
    assert kennel.restarted == ["post"]
    kennel.time.pass_(330)
    assert kennel.check()
    assert kennel.restarted == ["post", "post"]
    kennel.started = kennel.time.steady()
    kennel.proved = kennel.started + 5
    kennel.time.pass_(10)
    assert not kennel.check()


def test_a_watcher_that_never_proves_anything_hangs_as_well() -> None:
    kennel = Kennel()
    kennel.time.pass_(331)
    assert kennel.check()


def test_one_that_knows_its_error_is_left_alone() -> None:
    kennel = Kennel()
    kennel.time.pass_(5000)
    assert not kennel.check(failing=True)
    assert kennel.restarted == []


def test_one_that_fetches_a_large_mail_slowly_does_not_hang() -> None:
    kennel = Kennel()
    for _ in range(100):
        kennel.time.pass_(60)
        kennel.moved = kennel.time.steady()
        assert not kennel.check()
    kennel.time.pass_(331)
    assert kennel.check()


def test_one_that_hangs_after_an_error_is_found_after_its_longest_pause() -> None:
    kennel = Kennel()
    kennel.moved = kennel.time.steady()
    kennel.time.pass_(2100)
    assert not kennel.check(failing=True)
    kennel.time.pass_(60)
    assert kennel.check(failing=True)
    assert kennel.restarted == ["post"]


def test_a_dead_thread_is_found_at_once() -> None:
    kennel = Kennel()
    kennel.proved = kennel.time.steady()
    assert kennel.check(failing=True, alive=False)
    assert kennel.restarted == ["post"]


def test_a_mailbox_that_is_no_longer_watched_is_no_problem() -> None:
    kennel = Kennel()
    kennel.time.pass_(1000)
    assert kennel.check()
    kennel.dog.check([])
    assert "stale:post" not in kennel.sink


def test_several_folders_of_an_account_are_restarted_once() -> None:
    kennel = Kennel()
    kennel.time.pass_(1000)
    signs = [Sign(f"post/{folder}", "post", kennel.started, None, 90.0, False) for folder in "ab"]
    with capture_logs() as logs:
        kennel.dog.check(signs)
    assert kennel.restarted == ["post"]
    assert [line["event"] for line in logs] == ["watcher hangs"]
