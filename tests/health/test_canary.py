"""The canary: sent by the real courier through a real SMTP server, back by a real mailbox, or stuck somewhere."""

from __future__ import annotations

import email
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from revscript.health.canary import CanaryFlights
from revscript.store.canary import KEY
from revscript.store.measures import flights as landed
from tests.health.kit import Instance, account, rows_of, snapshot
from tests.instance import smtp, wait_until
from tests.servers import free_ports
from tests.servers.dovecot import Dovecot
from tests.servers.smtp_sink import SmtpSink

MINUTE = 60.0
CANARY = {"every": 15, "within": 5}


class Aviary(Instance):
    """An instance with one account that sends canaries, and a courier that runs."""

    def __init__(self, root: Path, port: int, canary: Any = True) -> None:
        super().__init__(root, {"post": account(canary=canary, sending=smtp(port))})
        self.flights = self.started()
        self.look("post")

    def started(self) -> CanaryFlights:
        """The canaries of a host that starts now."""
        return CanaryFlights(self.database, self.canaries, self.bell, self.problems, self.time.wall, self.time.steady)

    def after(self, minutes: float) -> str | None:
        """Some time later: what is said of the account."""
        self.time.pass_(minutes * MINUTE)
        self.flights.check(self.snapshot)
        found = self.problem("canary:post")
        return found.what if found else None

    def comes_back(self, raw: bytes) -> bool:
        """The mail is received and read, and the engine asks whether it is a canary."""
        message_id = (email.message_from_bytes(raw)["Message-ID"] or "").strip("<>")
        return self.canaries.recognise(self.receive("post", message_id=message_id), message_id)

    def sent(self) -> int:
        """How many canaries were ever sent."""
        return len(rows_of(self.database, "SELECT id FROM canary"))


@contextmanager
def flying(root: Path, port: int, canary: Any = True) -> Generator[Aviary]:
    """An aviary with its courier, within the block."""
    made = Aviary(root, port, canary)
    courier = made.courier()
    courier.start()
    try:
        yield made
    finally:
        courier.stop()
        courier.join(5)
        made.database.close()


def test_back_in_time_again_and_again(smtp_sink: SmtpSink, tmp_path: Path) -> None:
    with flying(tmp_path, smtp_sink.port, CANARY) as aviary:
        for turn in range(1, 4):
            assert aviary.after(0) is None
            raw = smtp_sink.wait_for(turn)[-1].raw
            aviary.time.pass_(12)
            assert aviary.comes_back(raw)
            assert aviary.after(0) is None
            flight = landed(aviary.database, ["post"])["post"]
            assert (flight.seen_at - flight.sent_at).total_seconds() == 12
            assert aviary.after(14) is None
            assert len(smtp_sink.attempts) == turn
            aviary.time.pass_(1 * MINUTE)
        assert not aviary.problems.standing()


def test_what_it_looks_like(smtp_sink: SmtpSink, tmp_path: Path) -> None:
    with flying(tmp_path, smtp_sink.port) as aviary:
        aviary.after(0)
        (received,) = smtp_sink.wait_for(1)
        mail = email.message_from_bytes(received.raw)
        assert received.recipients == ("einsatz@fuest.example",)
        assert mail["Auto-Submitted"] == "auto-generated"
        assert "canary" in mail["Subject"]
        body = mail.get_payload(decode=True)
        assert isinstance(body, bytes)
        assert b"No script runs for it" in body
        key, level = rows_of(aviary.database, "SELECT key, level FROM act")[0]
        assert key.startswith(f"{KEY}post:")
        assert level == "info"


def test_taken_by_the_server_but_not_back(smtp_sink: SmtpSink, tmp_path: Path) -> None:
    with flying(tmp_path, smtp_sink.port, CANARY) as aviary:
        aviary.after(0)
        (received,) = smtp_sink.wait_for(1)
        wait_until(lambda: rows_of(aviary.database, "SELECT state FROM act")[0][0] == "sent", 10, "sent")
        assert aviary.after(4.9) is None
        said = aviary.after(0.2)
        assert said is not None
        assert "not come back within 5 min: the SMTP server took it at 10:00:00 UTC" in said
        assert aviary.after(8) is not None
        assert aviary.comes_back(received.raw)  # late, but the way is free
        assert aviary.after(0.1) is None


def test_the_next_that_comes_back_clears_it(smtp_sink: SmtpSink, tmp_path: Path) -> None:
    with flying(tmp_path, smtp_sink.port, CANARY) as aviary:
        aviary.after(0)
        first = smtp_sink.wait_for(1)[0].raw
        assert aviary.after(6) is not None
        assert aviary.after(9) is not None
        second = smtp_sink.wait_for(2)[1].raw
        assert aviary.after(6) is not None  # the second is not back either
        assert aviary.comes_back(second)
        assert aviary.after(0.1) is None
        assert aviary.comes_back(first)  # very late: known all the same, and nothing is said
        assert aviary.after(0.1) is None


@pytest.mark.parametrize("how", ["nobody there", "refused", "later"])
def test_it_says_where_it_got_stuck(smtp_sink: SmtpSink, tmp_path: Path, how: str) -> None:
    smtp_sink.next_data(*["554 5.7.1 no machines" if how == "refused" else "451 4.3.0 try later"] * 1000)
    port = free_ports(1)[0] if how == "nobody there" else smtp_sink.port
    with flying(tmp_path, port, CANARY) as aviary:
        aviary.after(0)
        words = {"nobody there": "refuses the connection", "refused": "no machines", "later": "try later"}[how]
        wait_until(lambda: rows_of(aviary.database, "SELECT error FROM act WHERE error != ''") != [], 10, "a try")
        said = aviary.after(5.1)
        assert said is not None
        assert "it could not be sent: " in said
        assert words in said
        wait_until(
            lambda: rows_of(aviary.database, "SELECT state FROM act")[0][0] == "dead", 10, "it is pointless by now"
        )
    # The courier has ended. It has told of no mail that was given up: the canary's own Problem says so.
    assert [one.problem.key for one in aviary.problems.errors()] == ["canary:post"]


def test_a_mailbox_that_is_down_is_not_told_twice(smtp_sink: SmtpSink, tmp_path: Path) -> None:
    with flying(tmp_path, smtp_sink.port, CANARY) as aviary:
        aviary.after(0)
        raw = smtp_sink.wait_for(1)[0].raw
        aviary.look("post", error="The server does not answer.")
        assert aviary.after(10) is None
        aviary.look("post")
        assert aviary.after(0.5) is None  # it is fetched in a moment
        assert aviary.comes_back(raw)
        assert aviary.after(0.6) is None


def test_after_a_restart_the_last_one_gets_its_time(smtp_sink: SmtpSink, tmp_path: Path) -> None:
    with flying(tmp_path, smtp_sink.port, CANARY) as aviary:
        aviary.after(0)
        smtp_sink.wait_for(1)
        aviary.time.pass_(10 * MINUTE)
        aviary.flights = aviary.started()
        assert aviary.after(0) is None
        assert aviary.after(4.9) is None
        assert aviary.sent() == 1
        assert aviary.after(0.2) is not None
        assert aviary.sent() == 2
        aviary.time.set_wall(-3600)  # the next start goes by a clock that was set back
        aviary.flights = aviary.started()
        aviary.after(0)
        aviary.after(15)
        assert aviary.sent() == 3


def test_only_the_right_mail_is_one(smtp_sink: SmtpSink, tmp_path: Path) -> None:
    with flying(tmp_path, smtp_sink.port) as aviary:
        aviary.snapshot = snapshot(
            {"post": account(canary=True, sending=smtp(smtp_sink.port)), "other": account("other")}
        )
        aviary.after(0)
        raw = smtp_sink.wait_for(1)[0].raw
        message_id = email.message_from_bytes(raw)["Message-ID"].strip("<>")
        mail_id = aviary.receive("post")
        for wrong in ("", "x", message_id.upper(), message_id[1:], f"{message_id}%", "%"):
            assert not aviary.canaries.recognise(mail_id, wrong)
        forwarded = aviary.receive("other", message_id=message_id)
        assert aviary.canaries.recognise(forwarded, message_id)  # no script runs for it there either
        assert aviary.after(6) is not None  # but to its own account it did not come
        assert aviary.comes_back(raw)
        seen = rows_of(aviary.database, "SELECT seen_at, mail_id FROM canary WHERE mail_id IS NOT NULL")
        assert len(seen) == 1
        assert aviary.comes_back(raw)  # the server delivered it twice
        assert rows_of(aviary.database, "SELECT seen_at, mail_id FROM canary WHERE mail_id IS NOT NULL") == seen


def test_settings_that_change(smtp_sink: SmtpSink, tmp_path: Path) -> None:
    with flying(tmp_path, smtp_sink.port, {"every": 600, "within": 5}) as aviary:
        aviary.after(0)
        assert aviary.after(6) is not None
        receives_only = snapshot({"post": account()})
        aviary.flights.check(receives_only)
        assert aviary.problem("canary:post") is None
        aviary.snapshot = snapshot({"post": account(canary=CANARY, sending=smtp(smtp_sink.port))})
        aviary.after(9)
        assert aviary.sent() == 2  # every 15 minutes now
        aviary.flights.check(snapshot({"post": account(enabled=False, canary=True, sending=smtp(1))}))
        assert aviary.sent() == 2


def test_from_end_to_end_by_a_real_mailbox(
    smtp_sink: SmtpSink, dovecot: Dovecot, mailbox_user: str, tmp_path: Path
) -> None:
    """Through SMTP into a Dovecot mailbox and out of it again: the Message-ID survives the way."""
    with flying(tmp_path, smtp_sink.port) as aviary:
        aviary.after(0)
        dovecot.deliver(mailbox_user, b"Return-Path: <x@y.example>\r\n" + smtp_sink.wait_for(1)[0].raw)
        with dovecot.imap_client(mailbox_user) as client:
            client.select_folder("INBOX")
            (uid,) = client.search()
            raw = cast("dict[int, dict[bytes, bytes]]", client.fetch([uid], ["BODY.PEEK[]"]))[uid][b"BODY[]"]
        assert aviary.comes_back(raw)
        assert aviary.after(6) is None


def test_none_is_sent_where_nobody_reads_what_comes(smtp_sink: SmtpSink, tmp_path: Path) -> None:
    """Without a method a mail is done without being read: no canary would ever be seen."""
    with flying(tmp_path, smtp_sink.port) as aviary:
        idle = account(canary=True, sending=smtp(smtp_sink.port), methods={"script": False, "centre": False})
        aviary.snapshot = snapshot({"post": idle})
        assert aviary.after(60) is None
        assert aviary.sent() == 0
