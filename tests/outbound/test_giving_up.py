"""When the courier gives a mail up and whom it tells: clocks that jump, outsiders' addresses, and people's ways out."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from revscript.model import wall_clock
from revscript.store.schema import act as acts
from revscript.store.undelivered import UndeliveredActs
from tests.instance import wait_until
from tests.outbound.post import PostOffice, delivering
from tests.servers import free_ports
from tests.servers.smtp_sink import SmtpSink

LANE = "lane:smtp:post"
DAYS = timedelta(days=3)


# ---------------------------------------------------------------- time


def test_none_is_given_up_without_a_try(smtp_sink: SmtpSink, tmp_path: Path) -> None:
    """The host was down until it was too late, or somebody set the clock: what can be delivered is delivered."""
    office = PostOffice(tmp_path, {"post": smtp_sink.port})
    late = office.add("late", not_after=wall_clock() - timedelta(days=3))
    with delivering(office):
        assert office.wait(late, "sent").tries == 1
        assert not office.problems.standing()


def test_too_late_is_dead_after_a_try(tmp_path: Path) -> None:
    office = PostOffice(tmp_path, {"post": free_ports(1)[0]})
    late = office.add("late", not_after=wall_clock() - timedelta(seconds=1))
    with delivering(office):
        row = office.wait(late, "dead")
        assert row.error.startswith("too late: it was of use until ")
        assert row.error.endswith("The last try: localhost refuses the connection.")
        problem = office.wait_problem(f"act:{late}")
        assert problem.severity == "error"
        assert f"`revscript outbox retry {late}`" in problem.way_out
        assert f"`revscript outbox discard {late} --why TEXT`" in problem.way_out
        office.wait_solved(LANE)


def test_a_doubted_clock_gives_nothing_up(smtp_sink: SmtpSink, tmp_path: Path) -> None:
    smtp_sink.next_data(*["451 4.3.0 wait"] * 4)
    with delivering(PostOffice(tmp_path, {"post": smtp_sink.port})) as office:
        office.clock_trusted = False
        late = office.add("late", not_after=wall_clock() - DAYS)
        assert office.wait(late, "sent").tries == 5
        office.wait_solved(LANE)
    pauses = [after.at - before.at for before, after in zip(smtp_sink.attempts, smtp_sink.attempts[1:], strict=False)]
    assert all(pause >= 0.04 for pause in pauses)  # not without a pause because its time is over


@pytest.mark.parametrize("days", [3, -3])
def test_a_jump_of_the_clock_makes_nothing_late(tmp_path: Path, days: int) -> None:
    """Somebody sets it, the servers confirm it: what was wished before has its time still, and no more than that."""
    office = PostOffice(tmp_path, {"post": free_ports(1)[0]})
    with delivering(office):
        act = office.add("one", not_after=wall_clock() + timedelta(hours=1))
        office.wait_problem(LANE)
        tries = office.row(act).tries
        office.ahead = timedelta(days=days)
        office.bell.ring("act")
        wait_until(lambda: office.row(act).tries > tries + 2, 10, "it is tried again")
        assert office.row(act).state == "pending"
        assert office.problem(f"act:{act}") is None


# ---------------------------------------------------------------- how bad it is


def test_delayed_for_too_long_is_an_error(tmp_path: Path) -> None:
    office = PostOffice(tmp_path, {"post": free_ports(1)[0]})
    office.retry = office.retry.model_copy(update={"retry": (0.01, 0.1, 100.0)})
    with delivering(office):
        act = office.add("one")
        wait_until(lambda: office.row(act).tries == 2, 10, "two tries")
        assert office.wait_problem(LANE).severity == "warning"
        wait_until(lambda: (office.problem(LANE) or office.wait_problem(LANE)).severity == "error", 10, "an error")
        assert office.row(act).tries == 3  # the next one would be too late


def test_an_alarm_may_fail_once(tmp_path: Path) -> None:
    office = PostOffice(tmp_path, {"post": free_ports(1)[0]})
    office.retry = office.retry.model_copy(update={"retry": (0.01, 30.0)})
    with delivering(office):
        act = office.add("one", level="alarm")
        wait_until(lambda: office.wait_problem(LANE).severity == "error", 10, "an error")
        assert office.row(act).tries == 2


def test_one_that_gets_through_hides_none_that_does_not(smtp_sink: SmtpSink, tmp_path: Path) -> None:
    office = PostOffice(tmp_path, {"post": smtp_sink.port})
    office.patience = 0.2
    with delivering(office):
        stuck = office.add("stuck", "temp451@x.example")
        wait_until(lambda: office.wait_problem(LANE).severity == "error", 10, "an error")
        began = office.problems.standing()[0].began
        office.wait(office.add("two"), "sent")
        problem = office.wait_problem(LANE)
        assert problem.severity == "error"
        assert "temp451@x.example: 451" in problem.what
        assert office.problems.standing()[0].began == began
        with office.database.write() as tx:
            tx.execute(acts.update().where(acts.c.id == stuck).values(state="dead", finished_at=wall_clock()))
        office.wait(office.add("three"), "sent")
        office.wait_solved(LANE)


@pytest.mark.parametrize("way", ["refused", "refused with the mail", "partly", "not now", "not now, until too late"])
def test_an_answer_to_a_forged_sender_is_no_error(smtp_sink: SmtpSink, tmp_path: Path, way: str) -> None:
    office = PostOffice(tmp_path, {"post": smtp_sink.port})
    office.patience = 0.0
    with delivering(office):
        if way == "refused":
            act = office.answer("one", of="perm550@forged.example")
        elif way == "refused with the mail":
            smtp_sink.next_data("554 5.7.1 spam")
            act = office.answer("one")
        elif way == "partly":
            act = office.answer("one", "perm550@forged.example", "s1@x.example", of="perm550@forged.example")
        else:
            over = None if way == "not now" else wall_clock()
            act = office.answer("one", of="temp451@forged.example", not_after=over)
        key = LANE if way == "not now" else f"act:{act}"
        assert office.wait_problem(key).severity == "warning"
        if way == "not now":
            wait_until(lambda: office.row(act).tries > 4, 10, "more tries")
            assert office.wait_problem(key).severity == "warning"
    assert not office.problems.errors()


@pytest.mark.parametrize("way", ["to others", "to others, too", "no server"])
def test_all_else_is_one(smtp_sink: SmtpSink, tmp_path: Path, way: str) -> None:
    port = free_ports(1)[0] if way == "no server" else smtp_sink.port
    office = PostOffice(tmp_path, {"post": port})
    office.patience = 0.0
    with delivering(office):
        if way == "no server":
            office.answer("one")
            key = LANE
        else:
            to = ["perm550@x.example", "perm550@leitstelle.example"][: 1 if way == "to others" else 2]
            key = f"act:{office.answer('one', *to, of='perm550@leitstelle.example')}"
        assert office.wait_problem(key).severity == "error"


# ---------------------------------------------------------------- people


def test_a_person_has_it_tried_again(smtp_sink: SmtpSink, tmp_path: Path) -> None:
    smtp_sink.next_data("554 5.7.1 spam")
    with delivering(PostOffice(tmp_path, {"post": smtp_sink.port})) as office:
        act = office.add("one")
        office.wait_problem(f"act:{act}")
        office.wait(act, "dead")
        people = UndeliveredActs(office.database)  # in another process: the command line
        assert people.retry([act, act + 1], wall_clock() + timedelta(hours=1)) == [act]
        office.problems.refresh()
        office.bell.ring_all()
        assert office.wait(act, "sent").tries == 1
        assert not office.problems.standing()
        assert people.retry([act], wall_clock() + timedelta(hours=1)) == []


def test_only_who_was_refused_gets_it_again(smtp_sink: SmtpSink, tmp_path: Path) -> None:
    with delivering(PostOffice(tmp_path, {"post": smtp_sink.port})) as office:
        act = office.add("one", "s1@x.example", "perm550@x.example")
        office.wait(act, "sent")
        people = UndeliveredActs(office.database)
        (waiting,) = people.waiting()
        assert (waiting.id, waiting.state, waiting.to) == (act, "sent", ["s1@x.example", "perm550@x.example"])
        assert waiting.error.startswith("perm550@x.example: 550")
        assert people.retry([act], wall_clock() + timedelta(hours=1)) == [act]
        office.problems.refresh()
        assert not office.problems.standing()
        office.bell.ring_all()
        assert "perm550" in office.wait_problem(f"act:{act}").what
        wait_until(lambda: office.row(act).state == "sent", 10, "sent as far as it can be")
    assert [message.recipients for message in smtp_sink.messages] == [("s1@x.example",)]


def test_a_person_discards_it(smtp_sink: SmtpSink, tmp_path: Path) -> None:
    with delivering(PostOffice(tmp_path, {"post": smtp_sink.port})) as office:
        act = office.add("one", "perm550@x.example")
        office.wait(act, "dead")
        people = UndeliveredActs(office.database)
        assert people.discard([act, 99], "cli:mue", "told by phone") == [act]
        office.problems.refresh()
        assert not office.problems.standing()
        assert people.waiting() == []
        assert office.row(act).error.startswith("discarded by cli:mue: told by phone (before: perm550@x.example: 550")
        assert people.discard([act], "cli:mue", "again") == []


def test_what_is_over_is_told_no_more(smtp_sink: SmtpSink, tmp_path: Path) -> None:
    """Retention has removed the act; or the host died after the word about an act that was sent then."""
    with delivering(PostOffice(tmp_path, {"post": smtp_sink.port})) as office:
        gone, dead = office.add("one", "perm550@x.example"), office.add("two", "perm550@x.example")
        sent = office.add("three")
        for act in (gone, dead):
            office.wait(act, "dead")
            office.wait_problem(f"act:{act}")
        office.wait(sent, "sent")
        template = office.wait_problem(f"act:{gone}")
        for key in (f"act:{sent}", "act:77"):
            office.problems.report(type(template)(key, template.where, template.what, template.way_out))
        with office.database.write() as tx:
            tx.execute(acts.update().where(acts.c.id == gone).values(payload={}, receipt=None, error=""))
        office.bell.ring("act")
        for key in (f"act:{sent}", "act:77", f"act:{gone}"):
            office.wait_solved(key)
        assert [one.problem.key for one in office.problems.standing()] == [f"act:{dead}"]
