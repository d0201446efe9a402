"""Alerts: what is told, when and how often; by a real SMTP server and a real HTTPS server."""

from __future__ import annotations

import email
import email.policy
import json
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from revscript.config import Alerts
from revscript.health import Standing
from revscript.health.clock import HostClock
from revscript.health.escalation import MOST_AN_HOUR, Story
from revscript.health.escalation import Path as AlertPath
from revscript.health.notices import MOST_LISTED, News, Notice
from revscript.health.ways import ByMail, ByWebhook
from revscript.model import Problem
from revscript.outbound.alert import DirectMail
from revscript.outbound.webhook import Web
from tests.health.kit import START, Instance, Time, snapshot
from tests.inbound.refusing import refusing
from tests.instance import smtp
from tests.servers import free_ports
from tests.servers.ca import CertificateAuthority
from tests.servers.http import HttpReceiver, Reply
from tests.servers.smtp_sink import SmtpSink

MINUTE = 60.0
ALERTS = Alerts(after=3, repeat=60)
QUOTING = ("quarantine", "act", "unreadable")  # problems about mails and acts


def problem(key: str = "mailbox:post", severity: Any = "error", what: str = "The server does not answer.") -> Problem:
    """A problem of an account."""
    return Problem(key, f"account {key.rpartition(':')[2]}", what, "Check the host.", severity)


class Tale:
    """A story by the test's clock: problems come and go, notices get through unless told otherwise."""

    def __init__(self) -> None:
        self.time = Time()
        self.story = Story(self.time.steady())
        self.standing: dict[str, Standing] = {}
        self.time.pass_(3600)

    def comes(self, key: str, **more: Any) -> None:
        """A problem begins."""
        self.standing[key] = Standing(problem(key, **more), self.time.wall(), self.time.steady())

    def goes(self, key: str) -> None:
        """It is over."""
        del self.standing[key]

    def after(self, minutes: float, *, lost: bool = False) -> list[str]:
        """Some time later: what the notice says, if there is one."""
        self.time.pass_(minutes * MINUTE)
        news = self.story.news(self.standing.values(), ALERTS, self.time.steady())
        if news and not lost:
            self.story.told(news, self.time.steady())
        return [f"{one.state} {one.one.problem.key} {one.seconds / 60:.0f}" for one in news]


def test_told_after_a_while_again_and_at_the_end() -> None:
    tale = Tale()
    tale.comes("a")
    assert tale.after(2.9) == []
    assert tale.after(0.1) == ["new a 3"]
    assert tale.after(59) == []
    assert tale.after(1) == ["again a 63"]
    assert tale.after(60) == ["again a 123"]
    tale.goes("a")
    assert tale.after(1) == ["solved a 124"]
    assert tale.after(600) == []


def test_short_trouble_is_never_told() -> None:
    tale = Tale()
    for _ in range(20):
        tale.comes("a")
        assert tale.after(2) == []
        tale.goes("a")
        assert tale.after(2) == []


def test_what_comes_together_is_told_together() -> None:
    tale = Tale()
    tale.comes("a")
    tale.after(0.5)
    tale.comes("b")
    tale.after(1.3)
    tale.comes("c")  # too young yet: it may pass
    assert tale.after(1.2) == ["new a 3", "new b 2"]
    assert tale.after(1.8) == ["new c 3"]
    tale.goes("a")
    assert tale.after(57) == ["solved a 62"]
    assert tale.after(2) == ["again b 63", "again c 62"]


def test_one_that_is_over_and_comes_again_is_another() -> None:
    tale = Tale()
    tale.comes("a")
    tale.after(3)
    tale.goes("a")
    tale.time.pass_(10)
    tale.comes("a")
    assert tale.after(0) == ["solved a 3"]
    assert tale.after(3) == ["new a 3"]


def test_a_notice_that_is_lost_is_told_as_things_are_then() -> None:
    tale = Tale()
    tale.comes("a")
    tale.comes("b")
    assert tale.after(3, lost=True) == ["new a 3", "new b 3"]
    tale.goes("a")
    assert tale.after(10) == ["new b 13"]  # of the other nobody has heard, and it is over
    tale.goes("b")
    assert tale.after(5, lost=True) == ["solved b 18"]
    assert tale.after(5) == ["solved b 23"]


def test_warnings_and_the_alerts_own_troubles_are_not_told() -> None:
    tale = Tale()
    tale.comes("a", severity="warning")
    tale.comes("alert:mail")
    assert tale.after(600) == []
    tale.standing["a"] = Standing(problem("a"), tale.time.wall(), tale.standing["a"].began)
    assert tale.after(0) == ["new a 600"]


def test_an_error_that_becomes_a_warning_is_not_over() -> None:
    """A mail that was in quarantine is tried again: it may fail again."""
    tale = Tale()
    tale.comes("a")
    assert tale.after(3) == ["new a 3"]
    began = tale.standing["a"].began
    tale.standing["a"] = Standing(problem("a", "warning"), tale.time.wall(), began)
    assert tale.after(120) == []
    tale.standing["a"] = Standing(problem("a"), tale.time.wall(), began)
    assert tale.after(1) == ["again a 124"]
    tale.standing["a"] = Standing(problem("a", "warning"), tale.time.wall(), began)
    assert tale.after(1) == []
    tale.goes("a")
    assert tale.after(1) == ["solved a 126"]


def test_another_text_alone_is_no_news() -> None:
    tale = Tale()
    tale.comes("a")
    tale.after(3)
    tale.standing["a"] = Standing(problem("a", what="Now it says no."), tale.time.wall(), tale.standing["a"].began)
    assert tale.after(1) == []


def test_after_a_start_old_problems_get_their_minutes() -> None:
    tale = Tale()
    tale.comes("a")
    tale.time.pass_(3600)
    tale.story = Story(tale.time.steady())
    assert tale.after(2.9) == []
    assert tale.after(0.1) == ["new a 63"]


def test_no_more_than_so_many_an_hour() -> None:
    tale = Tale()
    told: list[list[str]] = []
    for number in range(60):
        tale.comes(f"p{number}")
        if said := tale.after(1):
            told.append(said)
    for _ in range(5):
        if said := tale.after(1):
            told.append(said)
    assert len(told) == MOST_AN_HOUR + 1
    assert sum(len(said) for said in told if said[0].startswith("new")) >= 60 - 3
    late = told[-1]
    assert len(late) > 40  # all that had to wait, in one notice


# ---------------------------------------------------------------- what it says


def notice(count: int, state: Any = "new", what: str = "The server does not answer.", held: str = "") -> Notice:
    """A notice about some accounts."""
    ones = [Standing(problem(f"mailbox:a{number}", what=what), START, 0.0) for number in range(count)]
    return Notice("0123abcd", "FuSt Übung", tuple(News(one, state, 240.0) for one in ones), held)


def test_in_words() -> None:
    one = notice(1)
    assert one.subject == "[FuSt Übung] 1 problem: account a0: The server does not answer."
    assert one.text.startswith(
        "PROBLEM for 4 min – account a0\n  The server does not answer.\n  What to do: Check the host.\n"
        "  Since 24.11.2026 10:00 UTC."
    )
    assert notice(1, "solved").subject == "[FuSt Übung] solved: account a0: The server does not answer."
    assert "SOLVED after 4 min – account a0" in notice(1, "solved").text
    assert "STILL A PROBLEM for 4 min" in notice(1, "again").text


def test_what_comes_from_mails_is_not_for_everybody() -> None:
    about = [Problem(f"{kind}:7", "mail 7 (post)", "Müller, Hauptstr. 5", "Ask Müller.") for kind in QUOTING]
    ones = [Standing(one, START, 0.0) for one in (*about, problem())]
    whole = Notice("0123abcd", "FuSt", tuple(News(one, "new", 240.0) for one in ones))
    assert "Müller" in whole.subject + whole.text
    body = whole.public().body()
    assert "Müller" not in json.dumps(body, ensure_ascii=False)
    assert body["subject"] == "[FuSt] 4 problems: mail 7 (post): See `revscript status`."
    assert [(one["key"], one["what"], one["way_out"]) for one in body["problems"][2:]] == [
        ("unreadable:7", "See `revscript status`.", ""),
        ("mailbox:post", "The server does not answer.", "Check the host."),
    ]
    assert "  See `revscript status`.\n  Since" in body["text"]
    assert whole.public().key == whole.key


def test_many_are_counted() -> None:
    many = notice(MOST_LISTED + 37)
    assert many.subject.startswith("[FuSt Übung] 57 problems: ")
    assert "… and 37 more" in many.text
    assert many.text.count("What to do") == MOST_LISTED
    assert many.body()["more"] == 37
    assert len(many.body()["problems"]) == MOST_LISTED
    assert "more" not in notice(1).text


def test_what_servers_say_breaks_nothing() -> None:
    evil = notice(1, what="no\r\nBcc: x@evil.example\x1b[2J\u2028" + "x" * 5000)
    assert evil.subject.isprintable()
    assert len(evil.subject) <= 150
    assert "\r" not in evil.text
    assert "\x1b" not in evil.text


def test_the_same_news_have_the_same_key() -> None:
    assert notice(2).key == notice(2, held="x").key
    assert len({notice(2).key, notice(1).key, notice(1, "again").key, notice(1, "solved").key}) == 4


# ---------------------------------------------------------------- by mail and webhook


class Alarm(Instance):
    """An instance with both ways, by the test's clock."""

    def __init__(self, root: Path, ca: CertificateAuthority, port: int, url: str | None) -> None:
        ca.write(root / "ca.pem")
        alerts: dict[str, Any] = {"after": 3, "repeat": 60, "webhook": url}
        alerts["mail"] = {"account": "alert", "to": ["s6@x.example", "admin@x.example"]}
        self.settings: dict[str, Any] = {
            "alerts": alerts,
            "network": {"ca_file": "ca.pem", "connect_timeout": 2, "read_timeout": 2},
            "organisation": {"name": "FuSt"},
        }
        self.accounts = {"alert": {"address": "alert@fuest.example", "sending": smtp(port)}}
        super().__init__(root, self.accounts, self.settings)
        self.clock = HostClock(self.time.wall, self.problems, self.time.steady)
        web = Web(root, lambda: self.snapshot.settings.network, self.time.wall)
        ways = (ByMail(DirectMail(self.mail, self.time.wall)), ByWebhook(web, self.clock))
        self.mail_path, self.web_path = (
            AlertPath(way, self.database.instance_id, lambda: self.snapshot, self.problems, self.time.steady)
            for way in ways
        )
        self.time.pass_(3600)

    def after(self, minutes: float) -> None:
        """Some time later both look."""
        self.time.pass_(minutes * MINUTE)
        self.mail_path.check()
        self.web_path.check()


@pytest.fixture
def https(ca: CertificateAuthority) -> Iterator[HttpReceiver]:
    """Where the webhook goes."""
    with HttpReceiver(ca) as receiver:
        yield receiver


@contextmanager
def alarm_at(root: Path, ca: CertificateAuthority, port: int, url: str | None) -> Generator[Alarm]:
    """An instance, closed at the end."""
    made = Alarm(root, ca, port, url)
    yield made
    made.database.close()


@pytest.fixture
def alarm(tmp_path: Path, ca: CertificateAuthority, smtp_sink: SmtpSink, https: HttpReceiver) -> Iterator[Alarm]:
    """Both ways are good."""
    with alarm_at(tmp_path, ca, smtp_sink.port, https.url) as made:
        https.date = lambda: made.time.true
        yield made


def test_told_by_both_ways(alarm: Alarm, smtp_sink: SmtpSink, https: HttpReceiver) -> None:
    alarm.problems.report(problem())
    alarm.problems.report(problem("lane:x", "warning"))
    alarm.after(3)
    (received,) = smtp_sink.messages
    assert (received.sender, received.recipients) == ("alert@fuest.example", ("s6@x.example", "admin@x.example"))
    mail = email.message_from_bytes(received.raw, policy=email.policy.default)
    assert mail["Subject"] == "[FuSt] 1 problem: account post: The server does not answer."
    assert mail["Auto-Submitted"] == "auto-generated"
    assert "What to do: Check the host." in mail.get_content()
    (call,) = https.calls
    assert call.method == "POST"
    assert call.headers["Idempotency-Key"].startswith("alert:")
    body = call.json
    assert (body["instance"], body["organisation"], body["more"]) == (alarm.database.instance_id, "FuSt", 0)
    assert body["problems"] == [
        {
            "key": "mailbox:post",
            "severity": "error",
            "where": "account post",
            "what": "The server does not answer.",
            "way_out": "Check the host.",
            "since": "2026-11-24T11:00:00+00:00",
            "state": "new",
            "minutes": 3.0,
        }
    ]
    alarm.problems.clear("mailbox:post")
    alarm.after(9)
    assert "solved: account post" in smtp_sink.messages[1].raw.decode()
    assert https.calls[1].json["problems"][0]["state"] == "solved"
    assert https.calls[1].json["problems"][0]["minutes"] == 12.0
    alarm.after(600)
    assert len(smtp_sink.messages) == len(https.calls) == 2


def test_it_needs_no_database(alarm: Alarm, smtp_sink: SmtpSink, https: HttpReceiver) -> None:
    with refusing(alarm.database, "problem"), refusing(alarm.database, "act", "UPDATE"):
        alarm.problems.report(Problem("store", "database", "disk is full", "Make room."))
        alarm.after(3)
        assert "disk is full" in smtp_sink.messages[0].raw.decode()
        assert https.calls[0].json["problems"][0]["what"] == "disk is full"


def test_one_way_that_is_broken_keeps_the_other_from_nothing(
    tmp_path: Path, ca: CertificateAuthority, https: HttpReceiver
) -> None:
    with alarm_at(tmp_path, ca, free_ports(1)[0], https.url) as alarm:
        https.date = lambda: alarm.time.true
        alarm.problems.report(problem())
        alarm.after(3)
        assert len(https.calls) == 1
        own = alarm.problem("alert:mail")
        assert own
        assert own.severity == "warning"
        assert own.what.startswith("Alerts cannot be told by mail: localhost refuses the connection.")
        alarm.after(120)
        assert {one["key"] for call in https.calls for one in call.json["problems"]} == {"mailbox:post"}


def test_each_way_is_tried_until_it_gets_through(alarm: Alarm, smtp_sink: SmtpSink, https: HttpReceiver) -> None:
    smtp_sink.next_data("451 4.3.0 one", "554 5.7.1 two", "451 4.3.0 three")
    https.next(Reply(503), HttpReceiver.DROP)
    alarm.problems.report(problem())
    alarm.after(3)
    assert "answered 503" in (alarm.problem("alert:webhook") or problem()).what
    assert alarm.problem("alert:mail")
    alarm.after(0.01)
    assert len(smtp_sink.attempts) == len(https.calls) == 1  # not at once
    for _ in range(10):
        alarm.after(1)
    assert len(smtp_sink.messages) == 1
    assert [call.answered for call in https.calls] == [503, HttpReceiver.DROP, 204]
    assert alarm.problem("alert:mail") is None
    assert alarm.problem("alert:webhook") is None
    ids = {email.message_from_bytes(one.raw)["Message-ID"] for one in smtp_sink.attempts}
    assert len(ids) == 1
    assert len({call.headers["Idempotency-Key"] for call in https.calls}) == 1


def test_a_recipient_that_is_refused_is_told(tmp_path: Path, ca: CertificateAuthority, smtp_sink: SmtpSink) -> None:
    with alarm_at(tmp_path, ca, smtp_sink.port, None) as alarm:
        alarm.settings["alerts"]["mail"]["to"] = ["perm550@x.example", "s6@x.example"]
        alarm.snapshot = snapshot(alarm.accounts, alarm.settings)
        alarm.problems.report(problem())
        alarm.after(3)
        assert smtp_sink.messages[0].recipients == ("s6@x.example",)
        assert "did not reach everybody: perm550@x.example: 550" in (alarm.problem("alert:mail") or problem()).what
        alarm.after(59)
        assert len(smtp_sink.messages) == 1


def test_who_is_told_later_gets_the_same_notice(
    tmp_path: Path, ca: CertificateAuthority, smtp_sink: SmtpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One server wants to be asked again (greylisting): the others are not bothered a second time."""
    with alarm_at(tmp_path, ca, smtp_sink.port, None) as alarm:
        alarm.settings["alerts"]["mail"]["to"] = ["temp451@x.example", "s6@x.example", "perm550@x.example"]
        alarm.snapshot = snapshot(alarm.accounts, alarm.settings)
        alarm.problems.report(problem())
        alarm.after(3)
        assert "temp451@x.example: 451" in (alarm.problem("alert:mail") or problem()).what
        alarm.problems.report(problem("mailbox:other"))
        alarm.after(4)  # once more for one; and news, for all of them
        assert [one.recipients for one in smtp_sink.messages] == [("s6@x.example",)] * 2
        monkeypatch.setattr("tests.servers.smtp_sink._REFUSED", re.compile(r"(?:perm)(\d)(\d\d)"))
        alarm.after(0.5)
        alarm.after(1)
        told = [(one.recipients, email.message_from_bytes(one.raw)["Message-ID"]) for one in smtp_sink.messages]
        (first, second), late = [key for _, key in told[:2]], told[2:]
        assert sorted(late) == sorted([(("temp451@x.example",), first), (("temp451@x.example",), second)])
        own = alarm.problem("alert:mail")
        assert own
        assert own.what.startswith("An alert did not reach everybody: perm550@x.example: 550")
        assert "temp451" not in own.what
        alarm.after(50)
        assert len(smtp_sink.messages) == 4


def test_a_notice_is_not_tried_for_ever(tmp_path: Path, ca: CertificateAuthority, smtp_sink: SmtpSink) -> None:
    with alarm_at(tmp_path, ca, smtp_sink.port, None) as alarm:
        alarm.settings["alerts"]["mail"]["to"] = ["temp451@x.example", "s6@x.example"]
        alarm.settings["alerts"]["repeat"] = 1000
        alarm.snapshot = snapshot(alarm.accounts, alarm.settings)
        alarm.problems.report(problem())
        for _ in range(100):
            alarm.after(1)
        assert len(smtp_sink.messages) == 1
        assert not alarm.mail_path._rests
        assert "temp451" in (alarm.problem("alert:mail") or problem()).what


@pytest.mark.parametrize("accounts", [{}, {"alert": {"address": "alert@fuest.example", "enabled": False}}])
def test_an_account_that_is_gone(alarm: Alarm, https: HttpReceiver, accounts: dict[str, Any]) -> None:
    alarm.snapshot = snapshot(accounts, alarm.settings)
    alarm.problems.report(problem())
    alarm.after(3)
    assert "'alert'" in (alarm.problem("alert:mail") or problem()).what
    assert len(https.calls) == 1


def test_settings_that_change(alarm: Alarm, ca: CertificateAuthority, https: HttpReceiver) -> None:
    https.default = Reply(500)
    alarm.problems.report(problem())
    alarm.after(3)
    assert alarm.problem("alert:webhook")
    alarm.snapshot = snapshot(alarm.accounts)
    alarm.after(0)
    assert alarm.problem("alert:webhook") is None
    with HttpReceiver(ca) as other:
        other.date = https.date
        alarm.settings["alerts"]["webhook"] = other.url
        alarm.snapshot = snapshot(alarm.accounts, alarm.settings)
        alarm.after(0)  # the new one has heard of nothing, and is told at once
        assert [one["key"] for one in other.calls[0].json["problems"]] == ["mailbox:post"]


def test_its_answers_date_is_evidence(alarm: Alarm, https: HttpReceiver) -> None:
    https.date = lambda: alarm.time.true + timedelta(hours=2)
    for number in (1, 2):
        assert alarm.clock.trusted  # one answer alone may be a mistake
        alarm.problems.report(problem(f"mailbox:{number}"))
        alarm.after(4)
    assert not alarm.clock.trusted
    assert alarm.clock.offset == pytest.approx(7200, abs=5)


def test_the_last_notice_of_the_hour_says_so(alarm: Alarm, smtp_sink: SmtpSink) -> None:
    for number in range(MOST_AN_HOUR + 5):
        alarm.problems.report(problem(f"mailbox:a{number}"))
        alarm.after(4)
    texts = [email.message_from_bytes(one.raw).get_payload(decode=True) for one in smtp_sink.messages]
    held = [b"The limit of 12 notices an hour is reached" in text for text in texts if isinstance(text, bytes)]
    assert held.index(True) == MOST_AN_HOUR - 1
    assert any(b"a13" in text and b"a14" in text for text in texts if isinstance(text, bytes))
