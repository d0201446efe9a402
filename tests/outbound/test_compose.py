"""Composing: the same act gives the same bytes, and what comes back out is what went in."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from revscript.jail.limits import Line
from revscript.outbound.compose import compose, message_id
from tests.outbound.post import SENDER, payload

NOW = datetime(2026, 11, 24, 10, 0, 7, tzinfo=UTC)
ID = message_id("mail:1/script:onEMail/send_mail/0/0", "instance", SENDER)
FIELDS = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted"]
MIME = ["Content-Type", "MIME-Version", "Content-Transfer-Encoding"]


def written(label: str = "", blobs: dict[int, bytes] | None = None, **more: Any) -> bytes:
    blobs = blobs or {}
    to = more.pop("to", ["s1@x.example"])
    return compose(payload(*to, **more), identifier=ID, label=label, created_at=NOW, content=lambda i: blobs[i])


def read(raw: bytes) -> EmailMessage:
    message = message_from_bytes(raw, policy=default)
    assert not message.defects
    return message


def field_names(raw: bytes) -> list[str]:
    """The header's fields, without the three of MIME, which are there once each at most."""
    head = raw.partition(b"\r\n\r\n")[0]
    names = [line.partition(b":")[0].decode() for line in head.split(b"\r\n") if line[:1] not in b" \t"]
    assert all(names.count(name) <= 1 for name in MIME)
    return [name for name in names if name not in MIME]


def decoded(raw: bytes, name: str) -> str:
    """A field as RFC 2047 says, without the cleverness of the newer policies."""
    value = message_from_bytes(raw)[name]
    return str(make_header(decode_header(value.replace("\r\n ", " ").replace("\r\n", ""))))


def test_a_plain_mail() -> None:
    raw = written(to=["s1@x.example", "s2@x.example"], cc=["s3@x.example"], in_reply_to="<1@ils.example>")
    message = read(raw)
    assert message["From"] == SENDER
    assert message["To"] == "s1@x.example, s2@x.example"
    assert message["Cc"] == "s3@x.example"
    assert message["Subject"] == "Lage"
    assert message["Date"].datetime == NOW
    assert message["In-Reply-To"] == message["References"] == "<1@ils.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"] == f"<{ID}>"
    assert message.get_content() == "Neue Lage.\r\n"
    assert message.get_content_type() == "text/plain"


def test_the_same_act_gives_the_same_bytes() -> None:
    def once() -> bytes:
        return written(
            "Führung",
            {5: b"\x89PNG" * 100},
            subject="Übung",
            html="<p>ä</p>",
            files=[{"name": "ü.txt", "text": "ü"}],
            attachments=[{"name": "a.png", "type": "image/png", "blob_id": 5}],
        )

    assert once() == once()


def test_the_message_id_comes_from_the_key() -> None:
    assert message_id("k", "i", SENDER) == message_id("k", "i", SENDER)
    assert len({message_id(key, instance, SENDER) for key in "ab" for instance in "ij"}) == 4
    assert re.fullmatch(r"[0-9a-f]{40}@fuest\.example", ID)


def test_only_ascii_with_crlf_and_short_lines_leaves() -> None:
    raw = written(
        "Führung", subject="ü" * 500, text="ä" * 3000 + "\nFrom hier\n.\n", to=[f"s{i}@x.example" for i in range(100)]
    )
    assert raw.isascii()
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", raw)
    assert max(map(len, raw.split(b"\r\n"))) <= 78
    assert read(raw)["Subject"] == "ü" * 500
    assert read(raw).get_content().replace("\r\n", "\n") == "ä" * 3000 + "\nFrom hier\n.\n"


def test_long_lines_of_ascii_are_broken_for_the_way_only() -> None:
    text = "x" * 5000 + "\n"
    raw = written(text=text)
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert read(raw).get_content().replace("\r\n", "\n") == text


def test_html_is_the_alternative() -> None:
    message = read(written(html="<p>Größe</p>"))
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    html = message.get_body(("html",))
    assert html
    assert html.get_content().strip() == "<p>Größe</p>"


def test_files_and_attachments() -> None:
    blobs = {1: bytes(range(256)) * 50, 2: b"From: a@b.example\r\n\r\nx"}
    raw = written(
        blobs=blobs,
        html="<p>x</p>",
        files=[{"name": "Übersicht.csv", "text": "ä;b\n"}],
        attachments=[
            {"name": 'Lage "Süd" 1.pdf', "type": "application/pdf", "blob_id": 1},
            {"name": "mail.eml", "type": "message/rfc822", "blob_id": 2},
            {"name": "x" * 180 + ".bin", "type": "no type", "blob_id": 1},
        ],
    )
    message = read(raw)
    assert message.get_content_type() == "multipart/mixed"
    assert next(iter(message.iter_parts())).get_content_type() == "multipart/alternative"
    attached = [
        (part.get_filename(), part.get_content_type(), part.get_payload(decode=True))
        for part in message.iter_attachments()
    ]
    assert attached == [
        ("Übersicht.csv", "text/plain", "ä;b\n".encode()),
        ('Lage "Süd" 1.pdf', "application/pdf", blobs[1]),
        ("mail.eml", "application/octet-stream", blobs[2]),
        ("x" * 180 + ".bin", "application/octet-stream", blobs[1]),
    ]
    assert [part.get_content_disposition() for part in message.iter_attachments()] == ["attachment"] * 4
    assert raw.count(b"MIME-Version") == 1


@pytest.mark.parametrize(
    "label",
    ["", "Leitstelle", 'Die "Süd", Nord', "Führung; <x@y.example>", "A, B", "back\\slash", "=?utf-8?q?x?=", "ü" * 200],
)
def test_labels(label: str) -> None:
    raw = written(label)
    sender = read(raw)["From"].addresses
    assert [one.addr_spec for one in sender] == [SENDER]
    if label.isascii() and not label.startswith("=?"):
        assert sender[0].display_name == label
    else:  # EmailMessage puts blanks between the encoded words of a long name
        assert decoded(raw, "From") == f"{label} <{SENDER}>"
    assert field_names(raw) == FIELDS


def test_addresses_beyond_ascii_are_utf8() -> None:
    raw = written(to=["müller@x.example", "s1@x.example"])
    assert "\r\nTo: müller@x.example,\r\n s1@x.example\r\n".encode() in raw


@pytest.mark.parametrize("reply_to", ["", "<>", "  ", "ä@x.example", "a b@x.example"])
def test_references_that_are_none(reply_to: str) -> None:
    assert field_names(written(in_reply_to=reply_to)) == FIELDS


# ------------------------------------------------------------ nothing becomes a header that is none

LINES = st.text(st.characters(exclude_categories=("Cs",)), max_size=200).filter(lambda text: fits(text))
EVIL = ["\r\nBcc: x@evil.example", "\nX: y", "\r", "\x00", "\x85", "\u2028Bcc: x@evil.example"]


def fits(text: str) -> bool:
    try:
        Line(200).check(text)
    except ValueError:
        return False
    return text.isprintable()


@settings(derandomize=True, deadline=None, max_examples=200)
@given(subject=LINES, label=LINES, name=LINES.filter(bool))
def test_what_goes_in_comes_out(subject: str, label: str, name: str) -> None:
    raw = written(label, subject=subject, files=[{"name": name, "text": "x"}])
    assert raw.isascii()
    assert [field for field in FIELDS if field != "Subject" or subject] == field_names(raw)
    if subject:
        assert decoded(raw, "Subject") == subject
    (part,) = [one for one in message_from_bytes(raw).walk() if one.get_content_disposition() == "attachment"]
    assert part.get_filename() == name.strip()  # which the library does when it reads


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize("place", ["subject", "label", "to", "cc", "from", "in_reply_to", "file"])
def test_control_characters_never_get_in(evil: str, place: str) -> None:
    text = f"a{evil}"
    inputs: dict[str, dict[str, Any]] = {
        "label": {"label": text},
        "to": {"to": [text]},
        "cc": {"cc": [text]},
        "file": {"files": [{"name": text, "text": "x"}]},
    }
    try:
        raw = written(**inputs.get(place, {place: text}))
    except ValueError:
        return
    assert field_names(raw) == FIELDS  # left out, as a reference that cannot be one


@pytest.mark.parametrize(
    "evil", ["=?utf-8?q?a=0ABcc:_x@evil.example?=", "=?utf-8?b?YQ0KQmNjOiB4QGV2aWwuZXhhbXBsZQ==?="]
)
def test_encoded_words_stay_text(evil: str) -> None:
    """gh-121650: the library reads an encoded word in what it is given, and writes its line feed raw."""
    raw = written(evil, subject=evil, files=[{"name": evil, "text": "x"}])
    assert field_names(raw) == FIELDS
    assert decoded(raw, "Subject") == evil
    assert b"\r\nBcc" not in raw
