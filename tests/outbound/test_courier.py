"""The courier on a real outbox: tries, orders, gives up, resumes, and tells what a person must know."""

from __future__ import annotations

import itertools
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from revscript.errors import DeliveryFailed
from revscript.model import wall_clock
from revscript.outbound import courier
from revscript.outbound.delivery import Delivery
from revscript.store.outbox import Act
from tests.inbound.refusing import refusing
from tests.instance import wait_until
from tests.outbound.post import PostOffice, delivering
from tests.servers import free_ports
from tests.servers.ca import CertificateAuthority
from tests.servers.fault_proxy import FaultProxy
from tests.servers.smtp_sink import Received, SmtpSink

LANE = "lane:smtp:post"


def id_of(message: Received) -> bytes:
    return message.raw.partition(b"Message-ID: <")[2].partition(b">")[0]


def test_delivered_with_a_receipt(smtp_sink: SmtpSink, tmp_path: Path) -> None:
    with delivering(PostOffice(tmp_path, {"post": smtp_sink.port})) as office:
        act = office.wait(office.add("one", "s1@x.example", subject="Übung"), "sent")
        assert act.receipt == {"accepted": {"s1@x.example": "2.0.0 kept"}, "refused": {}}
        assert (act.tries, act.error, act.owner) == (1, "", None)
        assert b"Auto-Submitted: auto-generated" in smtp_sink.messages[0].raw
        assert not office.problems.standing()


def test_what_fails_is_tried_again_by_schedule(smtp_sink: SmtpSink, tmp_path: Path) -> None:
    smtp_sink.next_data("451 4.3.0 one", "451 4.3.0 two", "451 4.3.0 three")
    with delivering(PostOffice(tmp_path, {"post": smtp_sink.port})) as office:
        act = office.add("one")
        assert "It is tried again at" in office.wait_problem(LANE).way_out
        assert office.wait(act, "sent").tries == 4
        office.wait_solved(LANE)
    times = [attempt.at for attempt in smtp_sink.attempts]
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert all(pause >= 0.8 * least for pause, least in zip(pauses, (0.05, 0.1, 0.1), strict=True))
    assert len({id_of(attempt) for attempt in smtp_sink.attempts}) == 1


def test_refused_for_good_is_dead_and_said(smtp_sink: SmtpSink, tmp_path: Path) -> None:
    smtp_sink.next_data("554 5.7.1 spam")
    with delivering(PostOffice(tmp_path, {"post": smtp_sink.port})) as office:
        act = office.add("one")
        assert "spam" in office.wait(act, "dead").error
        assert "spam" in office.wait_problem(f"act:{act}").what
        office.wait_solved(LANE)
        other = office.add("two")
        office.wait(other, "sent")
        assert office.problem(f"act:{act}")
    assert len(smtp_sink.attempts) == 2


def test_a_mail_that_cannot_be_written_is_dead(smtp_sink: SmtpSink, tmp_path: Path) -> None:
    with delivering(PostOffice(tmp_path, {"post": smtp_sink.port})) as office:
        act = office.add("one", subject="a\r\nBcc: x@evil.example")
        assert "control character" in office.wait(act, "dead").error
        assert not smtp_sink.attempts


def test_only_who_is_left_gets_it_again(smtp_sink: SmtpSink, tmp_path: Path) -> None:
    with delivering(PostOffice(tmp_path, {"post": smtp_sink.port})) as office:
        act = office.add("one", "s1@x.example", "temp451@x.example", "perm550@x.example", cc=["s2@x.example"])
        assert "temp451" in office.wait_problem(LANE).what
        smtp_sink.wait_for(1)
        before = office.row(act)
        assert set(before.receipt["accepted"]) == {"s1@x.example", "s2@x.example"}
        wait_until(lambda: office.row(act).tries > 2, 10, "more tries")
        assert [message.recipients for message in smtp_sink.messages] == [("s1@x.example", "s2@x.example")]


def test_refused_recipients_are_named(smtp_sink: SmtpSink, tmp_path: Path) -> None:
    with delivering(PostOffice(tmp_path, {"post": smtp_sink.port})) as office:
        act = office.add("one", "s1@x.example", "perm550@x.example")
        office.wait(act, "sent")
        problem = office.wait_problem(f"act:{act}")
        assert "perm550@x.example: 550" in problem.what
        assert problem.severity == "warning"
        nobody = office.add("two", "perm550@x.example")
        office.wait(nobody, "dead")


def test_tries_end_when_it_is_too_late(tmp_path: Path) -> None:
    with delivering(PostOffice(tmp_path, {"post": free_ports(1)[0]})) as office:
        act = office.add("one", not_after=wall_clock() + timedelta(seconds=1))
        office.wait_problem(LANE)
        assert 1 < office.wait(act, "dead").tries < 20
        office.wait_problem(f"act:{act}")
        office.wait_solved(LANE)


def test_the_most_urgent_first(smtp_sink: SmtpSink, tmp_path: Path) -> None:
    office = PostOffice(tmp_path, {"post": smtp_sink.port})
    levels = ["info", "important", "alarm", "info", "alarm"]
    acts = [office.add(str(number), subject=f"{number}", level=level) for number, level in enumerate(levels)]
    with delivering(office):
        for act in acts:
            office.wait(act, "sent")
    order = [message.raw.partition(b"Subject: ")[2][:1] for message in smtp_sink.messages]
    assert order == [b"2", b"4", b"1", b"0", b"3"]


def test_a_dead_lane_delays_no_other(ca: CertificateAuthority, smtp_sink: SmtpSink, tmp_path: Path) -> None:
    with FaultProxy(smtp_sink.host, smtp_sink.port) as hole, SmtpSink(ca) as alive:
        hole.blackhole()
        office = PostOffice(tmp_path, {"post": hole.port, "other": alive.port}, read_timeout=30.0)
        with delivering(office):
            stuck = office.add("one")
            time.sleep(0.1)
            started = time.monotonic()
            office.wait(office.add("two", account="other", lane="smtp:other"), "sent")
            assert time.monotonic() - started < 2
            assert office.row(stuck).state == "pending"
            hole.reset_all()  # ends the waiting


def test_a_lost_answer_and_a_restart_keep_the_message_id(smtp_sink: SmtpSink, tmp_path: Path) -> None:
    smtp_sink.next_data(SmtpSink.DROP)
    office = PostOffice(tmp_path, {"post": smtp_sink.port})
    office.retry = office.retry.model_copy(update={"retry": (1.0,)})
    act = office.add("one")
    office.courier.start()
    office.wait_problem(LANE)
    office.courier.stop()
    office.courier.join(5)
    assert office.row(act).state == "pending"
    office.courier = office.new_courier()
    with delivering(office):
        assert office.wait(act, "sent").tries == 2
        office.wait_solved(LANE)
    first, second = smtp_sink.messages
    assert id_of(first) == id_of(second)
    assert first.raw == second.raw


def test_what_a_crash_left_behind_is_taken_up(smtp_sink: SmtpSink, tmp_path: Path) -> None:
    office = PostOffice(tmp_path, {"post": smtp_sink.port})
    act = office.add("one")
    assert office.outbox.claim("smtp:post", wall_clock())  # … and then the host was killed
    assert office.outbox.claim("smtp:post", wall_clock()) is None
    with delivering(office):
        assert office.wait(act, "sent").tries == 2


class Scripted:
    """A way to the world that does what the test says."""

    def __init__(self) -> None:
        self.delivered: list[str] = []
        self.fails: list[Exception] = []
        self.hold = threading.Event()
        self.hold.set()

    def deliver(self, act: Act) -> Delivery:
        assert self.hold.wait(10)
        if self.fails:
            raise self.fails.pop(0)
        self.delivered.append(act.key)
        return Delivery(accepted={"world": "ok"})


def test_a_fault_of_ours_hangs_nothing_up(tmp_path: Path) -> None:
    way = Scripted()
    way.fails = [KeyError("bug"), DeliveryFailed("no", hint="Look there.")]
    with delivering(PostOffice(tmp_path, {}, ways={"mail": way})) as office:
        act = office.add("one")
        assert office.wait(act, "sent").tries == 3
        office.wait_solved(LANE)


def test_a_hint_is_part_of_the_way_out(tmp_path: Path) -> None:
    way = Scripted()
    way.fails = [DeliveryFailed("no", hint="Look there.")] * 100
    with delivering(PostOffice(tmp_path, {}, ways={"mail": way})) as office:
        office.add("one")
        assert office.wait_problem(LANE).way_out.startswith("Look there. It is tried again at ")


@pytest.mark.parametrize("when", ["claiming", "recording"])
def test_a_database_that_fails_makes_no_second_delivery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setattr(courier, "STORE_PAUSE", 0.05)
    way = Scripted()
    with delivering(PostOffice(tmp_path, {}, ways={"mail": way})) as office:
        if when == "recording":
            way.hold.clear()
            act = office.add("one")
            wait_claimed(office, act)
        else:
            act = office.add("one", not_after=wall_clock() + timedelta(hours=1), lane="later")
            office.wait(act, "sent")
            way.delivered.clear()
        with refusing(office.database, "act", "UPDATE"):
            if when == "claiming":
                act = office.add("two")
            way.hold.set()
            assert "disk is full" in office.wait_problem("store").what
        office.wait(act, "sent")
        assert len(way.delivered) == 1
        other = office.add("three")
        office.wait(other, "sent")
        office.wait_solved("store")


def wait_claimed(office: PostOffice, act: int) -> None:
    wait_until(lambda: office.row(act).owner is not None, 10, "claimed")


def test_an_account_that_is_gone_waits_for_a_person(smtp_sink: SmtpSink, tmp_path: Path) -> None:
    with delivering(PostOffice(tmp_path, {"post": smtp_sink.port})) as office:
        act = office.add("one", account="gone")
        assert "gone" in office.wait_problem(LANE).what
        assert office.row(act).state == "pending"


def test_attachments_come_from_the_store(smtp_sink: SmtpSink, tmp_path: Path) -> None:
    with delivering(PostOffice(tmp_path, {"post": smtp_sink.port})) as office:
        staged = office.blobs.stage([b"%PDF" * 300_000])
        with office.database.write() as tx:
            blob_id = office.blobs.keep(tx, staged, wall_clock())
        attachment = {"name": "a.pdf", "type": "application/pdf", "blob_id": blob_id}
        office.wait(office.add("one", attachments=[attachment]), "sent")
    assert len(smtp_sink.messages[0].raw) > 1_600_000


def test_stopping_does_not_wait_for_a_server(smtp_sink: SmtpSink, tmp_path: Path) -> None:
    with FaultProxy(smtp_sink.host, smtp_sink.port) as hole:
        hole.blackhole()
        office = PostOffice(tmp_path, {"post": hole.port}, read_timeout=30.0)
        office.courier.start()
        act = office.add("one")
        wait_claimed(office, act)
        started = time.monotonic()
        office.courier.stop()
        office.courier.join(0.05)
        assert time.monotonic() - started < 1
        hole.reset_all()
        office.courier.join(5)
        office.database.close()
