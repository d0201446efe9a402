"""The host's own clock: set by somebody, wrong from the start, or right although mails look otherwise."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from revscript.errors import StoreError
from revscript.health.clock import HostClock, span
from revscript.health.clock_memory import ClockMemory
from revscript.store.database import Database
from revscript.store.notes import write_note
from tests.health.kit import Sink, Time

HOUR = 3600.0
SERVER = "mail.fuest.example"


class Post:
    """A host with its clock, and a mail server whose clock is right."""

    boots = 1

    def __init__(self, wrong: float = 0.0, look_every: float = 90.0, database: Database | None = None) -> None:
        self.time = Time(wrong)
        self.sink = Sink()
        self.database = database
        self.look_every = look_every
        self.start()

    def start(self, boot: str = "boot 1") -> None:
        """The host starts, or starts again; it knows nothing but what is in the store."""
        memory = ClockMemory(self.database, boot) if self.database else None
        self.clock = HostClock(self.time.wall, self.sink, self.time.steady, memory)
        self.looked = self.time.wall()
        self.clock.check()

    def boot(self, off: float = 600.0) -> None:
        """The machine was off for a while; its steady clock begins anew."""
        self.time.pass_(off)
        now, self.boots = self.time.steady_seconds, self.boots + 1
        self.time.steady = lambda: self.time.steady_seconds - now  # type: ignore[method-assign]
        self.start(f"boot {self.boots}")

    def look(self, *ages: float, source: str = SERVER) -> None:
        """A look into the mailbox: a mail for each of the ages (s before now, by the server's clock)."""
        self.clock.check()
        for age in ages:
            date = (self.time.true - timedelta(seconds=age)).replace(microsecond=0)
            self.clock.dated(source, date, self.looked)
        self.looked = self.time.wall()

    def wait(self, seconds: float) -> None:
        """Time goes by, with checks and looks."""
        until = self.time.steady_seconds + seconds
        while (left := until - self.time.steady_seconds) > 0:
            self.time.pass_(min(5.0, left))
            self.clock.check()
            if (self.time.wall() - self.looked).total_seconds() > self.look_every:
                self.look()

    def mail(self) -> None:
        """A mail comes a little after a look and is fetched at once."""
        self.wait(7)
        self.look()
        self.wait(20)
        self.look(3.0)

    def ping(self, wrong: float = 0.0) -> None:
        """An HTTPS answer."""
        self.clock.check()
        asked = self.time.wall()
        self.time.pass_(0.2)
        date = (self.time.true + timedelta(seconds=wrong)).replace(microsecond=0)
        self.clock.answered("watch.example", date, asked)


def test_nothing_is_said_while_all_is_right() -> None:
    post = Post()
    for _ in range(50):
        post.mail()
        post.wait(600)
        post.ping()
    assert post.clock.trusted
    assert not post.sink.standing


@pytest.mark.parametrize(("by", "words"), [(-HOUR, "set back by 60 min"), (HOUR, "set forward by 60 min")])
def test_set_by_an_hour(by: float, words: str) -> None:
    post = Post()
    post.mail()
    post.mail()
    post.time.set_wall(by)
    post.time.pass_(5)
    post.clock.check()
    assert not post.clock.trusted
    assert words in post.sink["clock"].what
    assert "timedatectl" in post.sink["clock"].way_out
    for _ in range(5):  # the servers' dates say that it is wrong
        post.mail()
    post.wait(3 * HOUR)
    assert not post.clock.trusted
    post.time.set_wall(-by)
    post.time.pass_(5)
    post.clock.check()
    assert post.clock.trusted
    assert "clock" not in post.sink


@pytest.mark.parametrize("wrong", [-HOUR, HOUR, -300.0, 300.0, 400 * 24 * HOUR])
def test_a_clock_that_was_wrong_is_set_right(wrong: float) -> None:
    """Set right by somebody: a jump like any other, until two mails confirm it."""
    post = Post(wrong)
    post.time.set_wall(-wrong)
    post.time.pass_(5)
    post.clock.check()
    assert not post.clock.trusted
    post.mail()
    assert not post.clock.trusted
    post.mail()
    post.mail()
    assert post.clock.trusted
    assert "clock" not in post.sink


def test_a_mail_that_runs_right_after_a_jump_is_not_judged_by_it() -> None:
    post = Post()
    post.time.set_wall(HOUR)
    assert not post.clock.trusted  # before the next check
    post.clock.check()
    assert "clock" in post.sink


def test_one_https_answer_confirms_and_two_refute() -> None:
    post = Post(HOUR)
    post.time.set_wall(-HOUR)
    post.time.pass_(5)
    post.ping()
    assert post.clock.trusted
    post.time.set_wall(-HOUR)
    post.time.pass_(5)
    post.ping()
    post.ping()
    assert not post.clock.trusted
    assert post.clock.offset == pytest.approx(HOUR, abs=10)


@pytest.mark.parametrize("wrong", [-HOUR, -180.0, HOUR, 600.0])
def test_wrong_from_the_start_shows_by_mails(wrong: float) -> None:
    post = Post(wrong)
    for _ in range(5):
        post.mail()
        post.wait(180)
    assert not post.clock.trusted
    assert post.clock.offset == pytest.approx(-wrong, abs=60)
    assert ("behind" if wrong < 0 else "ahead of") in post.sink["clock"].what
    post.time.set_wall(-wrong)
    post.time.pass_(5)
    post.clock.check()
    assert post.clock.trusted


def test_wrong_from_the_start_shows_by_two_https_answers() -> None:
    post = Post(-HOUR)
    post.ping()
    assert post.clock.trusted
    post.wait(300)
    post.ping()
    assert not post.clock.trusted
    assert "60 min behind" in post.sink["clock"].what


def test_an_answer_that_a_cache_repeats_proves_nothing() -> None:
    """Its date stands still, and so never agrees with itself."""
    post = Post()
    for turn in range(10):
        post.wait(300)
        post.ping(wrong=-2400 - 300 * turn)
        assert post.clock.trusted


def test_a_single_mail_from_the_future_proves_nothing() -> None:
    post = Post()
    post.look(-2 * HOUR)
    assert post.clock.trusted
    post.mail()
    post.look(-5 * HOUR)
    assert post.clock.trusted


def test_two_mails_from_the_future_do() -> None:
    post = Post()
    post.look(-HOUR)
    post.wait(60)
    post.look(-HOUR)
    assert not post.clock.trusted


@pytest.mark.parametrize("seed", range(20))
def test_old_mails_moved_into_the_mailbox_prove_nothing(seed: int) -> None:
    chance = random.Random(seed)
    post = Post()
    for _ in range(40):
        ages = [chance.expovariate(1 / (24 * HOUR)) + 130 for _ in range(chance.randint(1, 30))]
        post.look(*sorted(ages, reverse=True))
        assert post.clock.trusted
        post.wait(chance.choice([0.5, 30.0, 300.0]))
        if chance.random() < 0.3:
            post.look(chance.random() * 5)


def test_a_storm_moved_an_hour_later_proves_nothing() -> None:
    """A thousand mails, equally old, found in a drain that takes a minute."""
    post = Post()
    for batch in range(60):
        post.look(*(HOUR + i - batch for i in range(20)))
        post.wait(1)
    assert post.clock.trusted
    post.mail()
    post.wait(HOUR)
    post.look(HOUR + 10, HOUR)
    assert post.clock.trusted


def test_a_person_who_moves_each_mail_after_some_minutes_proves_nothing() -> None:
    post = Post()
    for minutes in (3, 5, 4, 7, 3, 6, 4, 9):
        post.wait(600)
        post.look(minutes * 60.0)
    assert post.clock.trusted


def test_slow_drift_is_no_jump_but_shows_in_the_end() -> None:
    post = Post()
    for _ in range(3000):
        post.time.pass_(5)
        post.time.set_wall(0.05)  # 1 %: far more than any crystal
        post.clock.check()
    assert post.clock.trusted
    assert post.time.wrong > 140
    for _ in range(5):
        post.mail()
        post.wait(180)
    assert not post.clock.trusted


def test_steps_of_ntp_are_no_jump() -> None:
    post = Post()
    for _ in range(100):
        post.time.set_wall(random.Random(1).uniform(-1, 1))
        post.wait(30)
    assert post.clock.trusted


def test_zones_and_summer_time_do_not_matter() -> None:
    """Half an hour before to half an hour after Europe/Berlin's change in autumn, dates in local time."""
    zone = ZoneInfo("Europe/Berlin")
    now = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    seconds = 0.0

    def wall() -> datetime:
        return (now + timedelta(seconds=seconds)).astimezone(zone)

    sink = Sink()
    clock = HostClock(wall, sink, lambda: seconds)
    for _ in range(120):
        before = wall()
        seconds += 30
        clock.check()
        clock.dated(SERVER, wall() - timedelta(seconds=2), before)
    assert clock.trusted
    assert not sink.standing


def test_a_date_without_a_zone_says_nothing() -> None:
    post = Post()
    for _ in range(5):
        post.clock.dated(SERVER, datetime(2030, 1, 1), post.looked)  # noqa: DTZ001
        post.wait(200)
    assert post.clock.trusted


def test_servers_that_disagree_change_nothing() -> None:
    post = Post()
    for _ in range(6):
        post.wait(20)
        post.look(2.0)
        post.look(-HOUR, source="broken.example")
        assert post.clock.trusted or post.time.steady_seconds < 1100
    assert post.clock.trusted


def test_a_jump_in_the_middle_of_a_look_confirms_nothing() -> None:
    """The look before the jump and the mail after it: their distance is the jump's, and says nothing."""
    post = Post()
    post.mail()
    for _ in range(4):
        post.time.pass_(10)
        post.time.set_wall(HOUR)
        post.clock.dated(SERVER, post.time.true, post.looked)
        assert not post.clock.trusted


@pytest.mark.parametrize("by", [-HOUR, HOUR])
def test_a_mailbox_that_is_polled_rarely_confirms_a_jump_as_well(by: float) -> None:
    post = Post(-by, look_every=1e9)
    post.time.set_wall(by)
    post.wait(5)
    for _ in range(4):
        post.wait(1500)
        post.look(700.0)
    assert post.clock.trusted


def test_old_mails_in_a_mailbox_that_is_polled_rarely_prove_nothing() -> None:
    post = Post(look_every=1e9)
    for _ in range(8):
        post.wait(1800)
        post.look(2 * HOUR)
    assert post.clock.trusted


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(-2 * HOUR, 2 * HOUR), st.integers(0, 3)), max_size=8))
def test_whatever_is_set_mails_tell_in_the_end(steps: list[tuple[float, int]]) -> None:
    """After any jumps with any mails between: fresh mails bring the truth out, right or wrong."""
    post = Post()
    for by, mails in steps:
        post.time.set_wall(by)
        post.time.pass_(3)
        for _ in range(mails):
            post.mail()
    for _ in range(6):
        post.mail()
        post.wait(180)
    if abs(post.time.wrong) < 60:
        assert post.clock.trusted
    elif abs(post.time.wrong) > 300:
        assert not post.clock.trusted


# ---------------------------------------------------------------- across restarts


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Post]:
    """A host that remembers."""
    database = Database(tmp_path / "clock.db")
    yield Post(database=database)
    database.close()


@pytest.mark.parametrize("by", [-HOUR, 72 * HOUR])
def test_a_doubted_clock_is_doubted_after_a_restart(kept: Post, by: float) -> None:
    kept.time.set_wall(by)
    kept.wait(5)
    said = kept.sink["clock"].what
    kept.start()
    assert not kept.clock.trusted
    assert kept.sink["clock"].what == said
    kept.time.set_wall(-by)
    kept.wait(5)
    assert kept.clock.trusted
    kept.start()
    assert kept.clock.trusted


def test_set_while_the_host_was_down(kept: Post) -> None:
    kept.time.pass_(3 * HOUR)
    kept.time.set_wall(72 * HOUR)
    kept.start()
    assert not kept.clock.trusted
    assert "set forward by 3 days" in kept.sink["clock"].what


def test_a_long_time_off_is_no_jump(kept: Post) -> None:
    kept.time.pass_(72 * HOUR)
    kept.start()
    assert kept.clock.trusted
    kept.boot(off=72 * HOUR)
    assert kept.clock.trusted


def test_a_boot_with_a_clock_that_goes_back_in_time(kept: Post) -> None:
    """No battery: the clock stands at the time of the machine's making."""
    kept.wait(600)
    kept.time.set_wall(-1000 * 24 * HOUR)
    kept.boot()
    assert not kept.clock.trusted
    assert "set back by 1000 days" in kept.sink["clock"].what
    kept.time.set_wall(1000 * 24 * HOUR)  # NTP
    kept.wait(5)
    kept.ping()
    assert kept.clock.trusted


def test_a_boot_takes_no_doubt_away(kept: Post) -> None:
    kept.time.set_wall(72 * HOUR)
    kept.wait(5)
    kept.boot()
    assert not kept.clock.trusted
    kept.time.set_wall(-72 * HOUR)
    kept.boot()
    assert not kept.clock.trusted
    kept.mail()
    kept.mail()
    kept.mail()
    assert kept.clock.trusted


@pytest.mark.parametrize("note", ["", "{}", '{"wall": "2026-11-24T10:00:00", "steady": 1}', "\x00"])
def test_a_note_that_means_nothing(kept: Post, note: str) -> None:
    assert kept.database
    write_note(kept.database, "clock", note)
    kept.start()
    assert kept.clock.trusted


def test_a_store_that_fails_is_done_without(kept: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise StoreError("disk full")

    monkeypatch.setattr("revscript.health.clock_memory.write_note", fail)
    kept.time.set_wall(HOUR)
    kept.wait(120)
    assert not kept.clock.trusted
    monkeypatch.setattr("revscript.health.clock_memory.read_note", fail)
    kept.start()
    assert kept.clock.trusted  # nobody knows better


# ---------------------------------------------------------------- to delete by it


def test_to_delete_by_a_clock_somebody_must_have_confirmed_it(kept: Post) -> None:
    assert not kept.clock.confirmed
    kept.wait(HOUR)
    assert not kept.clock.confirmed
    kept.mail()
    assert not kept.clock.confirmed
    kept.mail()
    assert kept.clock.confirmed
    kept.wait(5)
    kept.start()
    assert kept.clock.confirmed
    kept.boot(off=20 * HOUR)
    assert kept.clock.confirmed  # it is not ahead by more than that
    kept.boot(off=25 * HOUR)
    assert not kept.clock.confirmed
    kept.ping()
    assert kept.clock.confirmed


def test_a_clock_that_was_set_must_be_confirmed_again() -> None:
    post = Post()
    post.ping()
    assert post.clock.confirmed
    post.time.set_wall(HOUR)
    assert not post.clock.confirmed
    post.time.set_wall(-HOUR)
    assert post.clock.trusted
    assert not post.clock.confirmed
    post.ping()
    assert post.clock.confirmed


def test_a_machine_that_woke_up_years_ahead_deletes_nothing() -> None:
    post = Post(10 * 365 * 24 * HOUR)
    for _ in range(20):
        assert not post.clock.confirmed
        post.mail()
        post.wait(180)
        post.ping()


def test_mailboxes_that_are_polled_rarely_confirm_as_well() -> None:
    post = Post(look_every=1e9)
    for _ in range(2):
        post.wait(1500)
        post.look(700.0)
    assert post.clock.confirmed


def test_old_mails_moved_into_the_mailbox_confirm_nothing() -> None:
    post = Post()
    for days in (400, 300, 30, 2):
        post.wait(600)
        post.look(days * 24 * HOUR)
    assert not post.clock.confirmed


# ---------------------------------------------------------------- how long ago


def test_what_was_before_a_jump_is_no_older_by_it(kept: Post) -> None:
    first = kept.time.wall()
    kept.wait(60)
    kept.time.set_wall(72 * HOUR)
    kept.wait(60)
    between = kept.time.wall()
    kept.time.set_wall(-HOUR)
    kept.wait(60)
    kept.start()
    for then, seconds in ((first, 180), (kept.time.wall() - timedelta(seconds=60), 60)):
        assert (kept.time.wall() - then - kept.clock.moved_since(then)).total_seconds() == pytest.approx(seconds)
    assert not kept.clock.moved_since(between)  # the clock showed that a second time


def test_durations_in_words() -> None:
    assert [span(seconds) for seconds in (7, -130, 3600, 7200, -200_000)] == ["7 s", "2 min", "60 min", "2 h", "2 days"]
