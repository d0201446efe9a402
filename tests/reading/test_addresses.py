"""Who a mail claims to come from."""

from __future__ import annotations

import pytest

from revscript.jail.reading import addresses
from revscript.jail.reading.clean import Defects


def parse(raw: str) -> list[tuple[str, str]]:
    return [(one.address, one.name) for one in addresses.parse(raw, Defects())]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("m@x.example", [("m@x.example", "")]),
        ("m@x.example (Max)", [("m@x.example", "Max")]),
        ("Max (Chef) Muster <m@x.example> (Büro)", [("m@x.example", "Max Muster")]),
        ('"Muster, \\"Max\\"" <m@x.example>', [("m@x.example", 'Muster, "Max"')]),
        ("=?utf-8?Q?M=C3=BCller, Hans?= <h@x.example>", [("h@x.example", "Müller, Hans")]),
        ('"=?utf-8?Q?M=C3=BCller=2C_Hans?=" <h@x.example>', [("h@x.example", "Müller, Hans")]),
        ("Stab: a@x.example, B <b@x.example>;", [("a@x.example", ""), ("b@x.example", "B")]),
        ("Stab: a@x.example;, c@x.example", [("a@x.example", ""), ("c@x.example", "")]),
        ("a@x.example; b@x.example", [("a@x.example", ""), ("b@x.example", "")]),
        ("<@r.example,@s.example:u@h.example>", [("u@h.example", "")]),
        ('"a@b"@c.example', [('"a@b"@c.example', "")]),
        ("undisclosed-recipients:;", []),
        ("<>", []),
        ("", []),
        ("MAILER-DAEMON", [("MAILER-DAEMON", "")]),
        ("Max m@x.example", [("m@x.example", "Max")]),
        ("<m@x.example", [("m@x.example", "")]),
        ("m @ x.example", [("m@x.example", "")]),
    ],
)  # fmt: skip
def test_lists(raw: str, expected: list[tuple[str, str]]) -> None:
    assert parse(raw) == expected


@pytest.mark.parametrize(
    "raw",
    [
        "alice@good.example)bob@evil.example",
        "alice@good.example(<)bob@evil.example>",
        "alice@good.example(x)bob@evil.example",
        "Alice <alice@good.example> <bob@evil.example>",
        "<alice@good.example>bob@evil.example",
        "<alice@good.example<bob@evil.example>",
        "alice@good.example bob@evil.example",
        "alice@good.example\0@evil.example",
        "<alice@good.example bob@evil.example>",
        "alice@good.example@evil.example",
    ],
)
def test_two_ways_to_read_it_give_no_address(raw: str) -> None:
    defects = Defects()
    assert [one.address for one in addresses.parse(raw, defects)] == [""]
    assert "cannot be read safely" in defects.texts()[0]


def test_encoded_words_inside_an_address_stay() -> None:
    raw = "=?utf-8?b?YWxpY2VAZ29vZC5leGFtcGxl?=@evil.example"
    assert parse(raw) == [(raw, "")]
    assert parse("=?utf-8?Q?alice=40good.example=00?=@evil.example")[0][0].endswith("@evil.example")


def test_a_name_that_is_somebody_elses_address_is_noted() -> None:
    defects = Defects()
    (one,) = addresses.parse('"alice@good.example" <bob@evil.example>', defects)
    assert one.address == "bob@evil.example"
    assert "another address" in defects.texts()[0]


def test_floods_are_capped_and_linear() -> None:
    defects = Defects()
    many = addresses.parse(", ".join(f"M{n} <m{n}@x.example>" for n in range(5000)), defects)
    assert len(many) == addresses.MAX_ADDRESSES
    assert "more addresses" in defects.texts()[0]
    for flood in (
        "(" * 200_000,
        "<" * 200_000,
        '"' * 200_000,
        "=?" * 100_000,
        "=?a?q?" + "=" * 200_000,
        "a:" * 99_999,
    ):
        addresses.parse(flood + "a@x.example", Defects())  # a quadratic reader would take minutes
