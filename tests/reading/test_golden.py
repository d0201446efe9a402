"""Every golden mail reads as reviewed, keeps the limits, and its files come out as announced."""

from __future__ import annotations

import hashlib
import io
import json

import pytest

from revscript.jail.limits import conform_fields
from revscript.jail.plain import from_plain
from revscript.jail.reading.model import Reading
from revscript.jail.reading.read import extract, read, read_head
from revscript.jail.wire import MAX_RAW_FRAME
from tests import golden_mails


def test_there_are_enough() -> None:
    assert len(golden_mails.names()) >= 40


@pytest.mark.parametrize("name", golden_mails.names())
def test_reads_as_reviewed(name: str) -> None:
    assert golden_mails.actual(name) == golden_mails.expected(name)


@pytest.mark.parametrize("name", golden_mails.names())
def test_files_come_out_as_announced(name: str) -> None:
    raw = golden_mails.mail(name)
    reading = from_plain(Reading, json.loads(golden_mails.expected(name)))
    conform_fields(reading)
    found = 0
    for index, pieces in extract(io.BytesIO(raw), range(len(reading.attachments) + 3)):
        data = list(pieces)
        announced = reading.attachments[index]
        assert all(0 < len(piece) <= MAX_RAW_FRAME for piece in data)
        assert sum(map(len, data)) == announced.size
        assert hashlib.sha256(b"".join(data)).hexdigest() == announced.sha256
        found += 1
    assert found == len(reading.attachments)


@pytest.mark.parametrize("name", golden_mails.names())
def test_head_agrees_with_the_whole(name: str) -> None:
    raw = golden_mails.mail(name)
    whole, head = read(io.BytesIO(raw), len(raw)), read_head(io.BytesIO(raw))
    conform_fields(head)
    assert head.fallback
    assert "only its header lines" in head.defects[0]
    assert (head.text, head.html, head.attachments) == ("", "", ())
    assert (head.subject, head.from_, head.to, head.date) == (
        whole.subject,
        whole.from_,
        whole.to,
        whole.date,
    )
    assert (head.message_id, head.headers) == (whole.message_id, whole.headers)


def test_names_are_safe_and_unique() -> None:
    for name in golden_mails.names():
        reading = from_plain(Reading, json.loads(golden_mails.expected(name)))
        names = [one.name for one in reading.attachments]
        assert len({one.casefold() for one in names}) == len(names)
        assert all(len(one.encode()) <= 200 and not set(one) & set('/\\:<>|?*"') for one in names)
        assert not any(one.startswith((".", "-")) or one.endswith((".", " ")) for one in names)
