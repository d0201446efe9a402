"""Encoded words, parameters, dates, flags."""

from __future__ import annotations

import pytest

from revscript.jail.reading import dates, flags, params
from revscript.jail.reading.clean import Defects
from revscript.jail.reading.headers import Headers
from revscript.jail.reading.words import decode_words


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("=?utf-8?Q?=C3=BC?= =?utf-8?Q?_x?= y", "ü x y"),
        ("a =?utf-8?B?w7w=?= b", "a ü b"),
        ("=?utf-8?Q?=C3?= =?UTF-8?B?vA==?=", "ü"),  # one character in two words
        ("=?iso-8859-1?Q?=FC?= =?utf-8?Q?=C3=BC?=", "üü"),
        ("=?utf-8*de?Q?x?=", "x"),
        ("=?*de?Q?x?=", "x"),
        ("=?x-gibtsnicht?Q?=FC?=", "ü"),
        ("M\udcfcller", "Müller"),
        ("M\udcc3\udcbcller", "Müller"),
        ("=?utf-8?Q?=3D=3Futf-8=3FQ=3Fx=3F=3D?=", "=?utf-8?Q?x?="),  # decoded once, never twice
        ("=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "日本"),
        ("=?utf-8?X?x?= =?utf-8?Q?offen", "=?utf-8?X?x?= =?utf-8?Q?offen"),
    ],
)
def test_encoded_words(raw: str, expected: str) -> None:
    assert decode_words(raw, Defects()) == expected


@pytest.mark.parametrize(
    ("raw", "value", "expected"),
    [
        ('TEXT/HTML (c); charset="utf-8"; format=flowed', "text/html", {"charset": "utf-8", "format": "flowed"}),
        ("a/b; name*=utf-8'de'M%C3%BCll.pdf; name=x", "a/b", {"name": "Müll.pdf"}),
        ("a/b; name*1=b.pdf; name*0*=utf-8''%C3%BC; name*3=zz", "a/b", {"name": "üb.pdf"}),
        ("a/b; name*00=x; name*0=y", "a/b", {"name": "x"}),
        ("a/b; name*99999999999=x; name*0=a", "a/b", {"name": "a"}),
        ('a/b; name*0="=?utf-8?Q?=C3"; name*1="=BC?="', "a/b", {"name": "ü"}),
        ("a/b; name*=x-gibtsnicht''%FF", "a/b", {"name": "ÿ"}),
        ('a/b; name="C:\\temp\\b.pdf"', "a/b", {"name": "C:\\temp\\b.pdf"}),
        ("a/b; name=Mein Plan (1).pdf; x=y", "a/b", {"name": "Mein Plan (1).pdf", "x": "y"}),
        ('a/b; name="a;b=c"; name=zweiter', "a/b", {"name": "a;b=c"}),
        ('a/b;;;=;x=;=y; name="offen', "a/b", {"x": "", "name": "offen"}),
        ("", "", {}),
    ],
)  # fmt: skip
def test_parameters(raw: str, value: str, expected: dict[str, str]) -> None:
    field = params.parse(raw, Defects())
    assert (field.value, field.params) == (value, expected)


def test_parameters_are_limited() -> None:
    defects = Defects()
    field = params.parse("a/b" + "".join(f"; p{n}=x" for n in range(60_000)), defects)
    assert len(field.params) == params.MAX_PARAMS
    assert defects.texts() == ("more than 200 parameters in one field",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Tue, 24 Nov 2026 08:38:38 +0100 (CET)", "2026-11-24T08:38:38+01:00"),
        ("Di, 24 Dez 2026 08:38 MEZ", "2026-12-24T08:38:00+01:00"),
        ("Mo, 01 März 2027 08:38:00 MESZ", "2027-03-01T08:38:00+02:00"),
        ("24 Nov 26 08:00 EST", "2026-11-24T08:00:00-05:00"),
        ("2026-11-24T10:00:00+01:00", "2026-11-24T10:00:00+01:00"),
        ("31 Dec 2016 23:59:60 +0000", "2016-12-31T23:59:59+00:00"),
        ("Fri, 31 Feb 2026 00:00:00 GMT", None),
        ("Tue, 24 Nov 2026 08:38:38 +9999", None),
        ("Tue, 24 Nov 1926 08:38:38 +0000", None),
        ("Tue, 24 Nov 2026 08:38:38 +" + "9" * 5000, None),
        ("morgen", None),
    ],
)
def test_dates(text: str, expected: str | None) -> None:
    defects = Defects()
    assert dates.parse(text, defects) == expected
    assert bool(defects.texts()) == (expected is None)


def test_a_date_without_zone_is_utc_and_noted() -> None:
    defects = Defects()
    assert dates.parse("24 Nov 2026 08:38", defects) == "2026-11-24T08:38:00+00:00"
    assert defects.texts() == ("date without a time zone, taken as UTC",)
    assert dates.parse("", defects) is None


GENERATED = {"Auto-Submitted": "auto-generated"}


@pytest.mark.parametrize(
    ("fields", "kind", "expected"),
    [
        ({"Auto-Submitted": "auto-replied (vacation)", "Return-Path": "<>"}, "text/plain", "is_auto_reply"),
        ({"Precedence": "auto_reply"}, "text/plain", "is_auto_reply"),
        ({"X-Autoreply": "yes"}, "text/plain", "is_auto_reply"),
        ({**GENERATED, "X-Auto-Response-Suppress": "All", "In-Reply-To": "<1@x>"}, "text/plain", "is_auto_reply"),
        (GENERATED, "text/plain", ""),
        ({"Auto-Submitted": "no"}, "text/plain", ""),
        ({"Precedence": "bulk"}, "text/plain", ""),
        ({"Return-Path": "<>"}, "text/plain", "is_bounce"),
        ({"From": "Mail Delivery <MAILER-DAEMON@mx.example>"}, "text/plain", "is_bounce"),
        ({}, "multipart/report; report-type=delivery-status", "is_bounce"),
        ({}, "multipart/report; report-type=disposition-notification", ""),
        ({"List-Id": "<a.b.example>"}, "text/plain", "is_list"),
        ({"Precedence": "list"}, "text/plain", "is_list"),
        ({"X-Failed-Recipients": "a@x.example"}, "text/plain", "is_bounce"),
    ],
)  # fmt: skip
def test_flags(fields: dict[str, str], kind: str, expected: str) -> None:
    found = flags.find(Headers(list(fields.items()), Defects()), params.parse(kind, Defects()))
    assert [name for name, value in found.items() if value] == ([expected] if expected else [])


def test_control_characters_never_leave_a_header() -> None:
    headers = Headers([("Subject", "=?utf-8?Q?a=0D=0ABcc:_x=00=1B=E2=80=AE?=\r\n b")], Defects())
    assert headers.text("subject") == "a Bcc: x b"


def test_long_fields_are_cut_and_noted() -> None:
    defects = Defects()
    found = Headers([("Subject", "ü" * 100_000), *[(f"X-{n}", "\udcff" * 3000) for n in range(300)]], defects).read()
    assert len(found["subject"]) == 20_000
    assert len(found["headers"]) < 100
    assert {"more header fields than are kept", "header field 'subject' is too long and was cut"} <= set(
        defects.texts()
    )
