"""The mail as a script sees it."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
from typing import Any

import pytest

from revscript.jail.effects import IgnoreMail, LabelMail
from revscript.jail.reading.model import MailAddress, Reading
from revscript.jail.scripting.objects import Desk, Mail
from tests.scripting.fake import CONTEXT, FakeSession, Stage


def sender(*addresses: str, name: str = "") -> dict[str, Any]:
    from_ = tuple(MailAddress(address=address, name=name) for address in addresses)
    return {"from_": from_, "sender": from_[0] if from_ else None}


def test_plain_data() -> None:
    mail = Stage().mail
    assert (mail.id, mail.account, mail.subject) == (7, "leitstelle", "B 3 Lagerhalle")
    assert (mail.sender.address, mail.sender.name) == ("Alarm@Leitstelle.example", "Leitstelle Musterland")
    assert mail.sender.domain == "leitstelle.example"
    assert [str(address) for address in mail.to] == ["einsatz@fuest.example"]
    assert mail.message_id == "990007@leitstelle.example"
    assert (mail.cc, mail.reply_to, mail.html, mail.defects) == ((), (), "", ("no charset",))
    first = mail.attachments[0]
    assert (first.name, first.original_name, first.size, first.inline) == ("fax.pdf", "fax.pdf", 3, False)
    assert (first.type, first.declared_type) == ("application/pdf", "application/octet-stream")
    assert first.sha256 == "a" * 64


def test_times_are_local() -> None:
    mail = Stage().mail
    assert mail.date is not None
    assert f"{mail.date:%H:%M %Z} {mail.received:%H:%M:%S}" == "13:00 CET 13:00:30"


def test_unknown_time_zone_is_said() -> None:
    stage = Stage(dataclasses.replace(CONTEXT, time_zone="Mars/Olympus"))
    assert stage.now().tzinfo is datetime.UTC
    assert "Mars/Olympus" in stage.session.lines[0]


def test_empty_mail_never_raises() -> None:
    mail = Mail(Desk(Reading(), CONTEXT, FakeSession()))
    assert (mail.sender.address, mail.sender.domain, bool(mail.sender)) == ("", "", False)
    assert (mail.date, mail.headers["Subject"], mail.text) == (None, "", "")
    assert mail.age == datetime.timedelta(seconds=30)
    facts = (mail.is_test(), mail.is_from("@x.example"), mail.late, mail.is_list, mail.is_bounce)
    assert not any(facts)
    assert mail.search("x") is None
    assert len(mail.fingerprint()) == 16


def test_headers() -> None:
    headers = Stage().mail.headers
    assert headers["RECEIVED"] == "eins"
    assert headers.all("Received") == ("eins", "zwei")
    assert (headers["nothing"], headers.all("nothing")) == ("", ())
    assert "x-prio" in headers
    assert "x" not in headers
    with pytest.raises(TypeError):
        iter(headers)  # pyright: ignore[reportArgumentType, reportCallIssue]


def test_addresses_compare_by_address() -> None:
    address = Stage().mail.sender
    assert address == "alarm@leitstelle.example"
    assert address == Stage().mail.sender
    assert address != "leitstelle musterland"
    assert address in {"alarm@leitstelle.example"}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("alarm@leitstelle.example", True),
        ("ALARM@LEITSTELLE.EXAMPLE.", True),
        ("@leitstelle.example", True),
        ("@Leitstelle.Example", True),
        ("@example", False),
        ("@sub.leitstelle.example", False),
        ("larm@leitstelle.example", False),
    ],
)
def test_is_from(wanted: str, expected: bool) -> None:
    assert Stage().mail.is_from(wanted) is expected
    assert Stage().mail.is_from("x@y.example", wanted) is expected


@pytest.mark.parametrize(
    ("address", "wanted", "expected"),
    [
        ("a@evil-leitstelle.example", "@leitstelle.example", False),
        ("a@leitstelle.example.evil.example", "@leitstelle.example", False),
        ("a@müller.example", "@xn--mller-kva.example", True),
        ("a@XN--MLLER-KVA.example", "@Müller.example", True),
        ("a@straße.example", "@strasse.example", False),
        ("leitstelle.example", "@leitstelle.example", False),
        ("", "@leitstelle.example", False),
    ],
)
def test_is_from_by_domain(address: str, wanted: str, expected: bool) -> None:
    assert Stage(**sender(address, name="alarm@leitstelle.example")).mail.is_from(wanted) is expected


def test_is_from_with_several_from_addresses() -> None:
    mail = Stage(**sender("a@one.example", "b@two.example")).mail
    assert not mail.is_from("@one.example")
    assert mail.is_from("@one.example", "b@two.example")
    assert not Stage(**sender()).mail.is_from("@one.example")


@pytest.mark.parametrize("wanted", ["leitstelle.example", "", "@", "@partner:Nord", "a b@@c"])
def test_is_from_refuses_what_it_cannot_compare(wanted: str) -> None:
    with pytest.raises(ValueError, match="neither an address nor a domain"):
        Stage().mail.is_from(wanted)


def test_is_from_needs_a_sender() -> None:
    with pytest.raises(TypeError, match="at least one"):
        Stage().mail.is_from()
    with pytest.raises(TypeError, match="a int was given"):
        Stage().mail.is_from(5)


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ("Probealarm", ""),
        ("PROBEALARM Musterstadt", ""),
        ("INF PROBEALARM", ""),
        ("", "Stichwort : INF BMA PROBE\n"),
        ("", "Stichwort : INF  Probealarm"),
        ("", "*** ÜBUNGS-FAX ***"),
        ("", "Uebungsalarm der Gemeinde"),
        ("", "\u00dcbungsalarm"),
        ("", "U\u0308bungsalarm"),
        ("Testalarm", ""),
        ("Übung: B 3", ""),
        ("B 3 (Übung)", ""),
        ("", "ALARMFAX\nÜbung\nOrt : Musterstadt"),
        ("", "Ort : x\n  - ÜBUNG - B 3"),
    ],
)
def test_tests_are_known(subject: str, text: str) -> None:
    assert Stage(subject=subject, text=text).mail.is_test()


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ("B 3 Lagerhalle", "Straße : Übungsplatz 3"),
        ("B 3 Übungsplatz", ""),
        ("THL 1 Übungs-Gelände", "Übungsleiter Müller ruft an"),
        ("B 3", "Bemerkung : Verletzter nach Übung im Sportheim"),
        ("B 3", "kein Probealarm!"),
        ("Kein Testalarm: B 3", ""),
        ("B 3", "Übungen im Nebengebäude"),
        ("RD 1", "Probe Alarmanlage, Rauch"),
        ("B BMA", "BMA Musterprobe"),
        ("Einsatz", "Stresstestalarm"),
    ],
)
def test_real_alarms_are_no_tests(subject: str, text: str) -> None:
    assert not Stage(subject=subject, text=text).mail.is_test()


def test_late() -> None:
    context = dataclasses.replace(CONTEXT, now="2026-03-01T12:30:01+00:00")
    assert Stage(context).mail.late
    assert not Stage(dataclasses.replace(context, clock_trusted=False)).mail.late
    assert not Stage(dataclasses.replace(context, now="2026-03-01T12:30:00+00:00")).mail.late
    assert Stage().mail.age == datetime.timedelta(minutes=1)


def test_search() -> None:
    mail = Stage().mail
    found = mail.search(r"Einsatznummer\s*:\s*(.+)")
    assert found
    assert found[1] == "T 3.1 990007"
    assert mail.search("^B 3 L") is not None
    assert mail.search("nothing") is None


def test_fingerprint() -> None:
    mail = Stage().mail
    assert mail.fingerprint("B 3", "Straße", 5) == mail.fingerprint("b  3\n", "STRASSE", 5)
    assert mail.fingerprint("Müller") == mail.fingerprint("Mueller")
    assert mail.fingerprint("a", "b") != mail.fingerprint("ab")
    assert mail.fingerprint() == Stage().mail.fingerprint()
    assert mail.fingerprint() != Stage(text="x").mail.fingerprint()
    assert mail.fingerprint("B 3") == hashlib.sha256(b"b 3").hexdigest()[:16]
    with pytest.raises(TypeError, match="a list has no stable text"):
        mail.fingerprint([1])


def test_label_and_ignore() -> None:
    stage = Stage()
    stage.mail.label("  zwei\nZeilen ")
    assert stage.effect == LabelMail(text="zwei Zeilen")
    stage.mail.ignore("x" * 600)
    assert type(stage.effect) is IgnoreMail
    assert len(stage.effect.why) == 500
    assert stage.session.lines == ["why was cut from 600 to 500 characters"]
    with pytest.raises(ValueError, match="text: text must have 1 to 100 characters"):
        stage.mail.label(" \n")
    wrong: Any = 5
    with pytest.raises(TypeError, match="text: a int was given"):
        stage.mail.label(wrong)
