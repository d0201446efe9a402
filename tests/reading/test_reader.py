"""The reader as a whole: limits, hostile shapes, no late import, random mails."""

from __future__ import annotations

import base64
import io
import json
import random
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from revscript.jail.limits import conform_fields
from revscript.jail.plain import to_plain
from revscript.jail.reading import parts, read
from revscript.jail.reading.model import Reading
from revscript.jail.wire import MAX_JSON_FRAME, MAX_RAW_FRAME, pack_json
from tests import golden_mails

HEAD = b"From: a@x.example\r\nSubject: s\r\n"


def reading(raw: bytes) -> Reading:
    """Read, and check what must hold for every mail."""
    result = read.read(io.BytesIO(raw), len(raw))
    conform_fields(result)
    assert len(pack_json({"t": "reading", "reading": to_plain(result)})) <= MAX_JSON_FRAME
    return result


def multipart(*bodies: bytes, kind: bytes = b"mixed") -> bytes:
    inner = b"".join(b"--b\r\n" + body + b"\r\n" for body in bodies)
    return HEAD + b"Content-Type: multipart/" + kind + b"; boundary=b\r\n\r\n" + inner + b"--b--\r\n"


def test_nesting_ends_at_the_limit() -> None:
    raw = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(5000))
    result = reading(HEAD + raw)
    assert any("nested deeper than 64" in text for text in result.defects)
    assert len(result.attachments) == 1  # the rest as it is
    forwarded = reading(HEAD + b"Content-Type: message/rfc822\r\n\r\n" * 5000)
    assert [one.type for one in forwarded.attachments] == ["message/rfc822"]


def test_parts_fields_and_header_bytes_are_limited() -> None:
    many = reading(multipart(*[b"Content-Type: image/png\r\n\r\nx"] * 3000))
    assert len(many.attachments) == parts.MAX_PARTS - 1  # the mail itself is one
    assert not any("names" in text for text in many.defects)
    assert any("more than 2000 parts" in text for text in many.defects)
    fields = reading(HEAD + b"X-A: b\r\n" * 5000 + b"\r\nText")
    assert len(fields.headers) == parts.MAX_FIELDS
    assert fields.text == "Text"
    long = reading(HEAD + b"X-A: " + b"b" * 3_000_000 + b"\r\n\r\nText")
    assert (long.subject, long.text) == ("s", "Text")
    assert any("header block over 512 KB" in text for text in long.defects)


def test_the_largest_readings_fit_their_frame() -> None:
    emoji = "😀".encode()
    page = b"Content-Type: text/html; charset=utf-8\r\n\r\n" + emoji * 1_000_000
    text = b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + emoji * 1_000_000
    name = b"=?utf-8?B?" + base64.b64encode(emoji * 900) + b"?="
    files = [b'Content-Type: a/b; name="' + name + b'"\r\nContent-ID: <' + b"\xff" * 900 + b">\r\n\r\nx"] * 1990
    head = b"".join(b"X: " + emoji * 5000 + b"\r\n" for _ in range(12))
    head += b"To: " + b", ".join(b'"' + emoji * 200 + b'" <a@x.example>' for _ in range(60)) + b"\r\n"
    head += b"References: " + b" ".join(b"<" + emoji * 200 + b">" for _ in range(190)) + b"\r\n"
    raw = multipart(text, page, *files).replace(HEAD, head + HEAD)
    result = reading(raw)
    assert len(result.attachments) == 1990
    assert {"the text is too long and was cut after 166666 characters", "more references than are kept"} <= set(
        result.defects
    )


def test_inline_is_what_the_html_shows() -> None:
    png = b"Content-Type: image/png\r\nContent-ID: <%s>\r\n%s\r\n\x89PNG\r\n\x1a\n"
    pdf = b"Content-Type: application/pdf\r\nContent-ID: <d>\r\n\r\n%PDF-1"
    page = b"Content-Type: text/html\r\n\r\n<img src='CID:a'><img src=cid:b%%40x><img src=cid:c><a href=cid:d>"
    inline = b"Content-Disposition: inline\r\n"
    attachment = b"Content-Disposition: attachment\r\n"
    bodies = [
        page.replace(b"%%", b"%"),
        png % (b"a", inline),
        png % (b"b@x", attachment),
        png % (b"z", inline),
        pdf,
    ]
    assert [one.inline for one in reading(multipart(*bodies, kind=b"related")).attachments] == [
        True,
        True,
        False,
        False,
    ]
    assert [one.inline for one in reading(multipart(*bodies)).attachments] == [True, False, False, False]


def test_a_lying_size_and_a_short_source() -> None:
    raw = HEAD + b"\r\nText und mehr"
    assert read.read(io.BytesIO(raw), len(raw) - 9).text == "Text"
    assert "the mail is shorter than announced" in read.read(io.BytesIO(raw), 10**6).defects


def test_a_mistake_of_ours_leaves_the_header_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr("revscript.jail.reading.body.bodies", fail)
    result = reading(HEAD + b"\r\nText")
    assert (result.subject, result.fallback, result.text) == ("s", True, "")
    assert "the reader failed (KeyError)" in result.defects[0]


@pytest.mark.parametrize("death", [MemoryError, RecursionError])
def test_the_readers_death_is_not_hidden(monkeypatch: pytest.MonkeyPatch, death: type[Exception]) -> None:
    def die(*_: object) -> None:
        raise death

    monkeypatch.setattr("revscript.jail.reading.body.bodies", die)
    with pytest.raises(death):
        read.read(io.BytesIO(HEAD), len(HEAD))


def test_read_head_looks_no_further_than_64_kib() -> None:
    class Source(io.BytesIO):
        taken = 0

        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            self.taken += len(data)
            return data

    source = Source(HEAD + b"X: y\r\n" * 100_000)
    result = read.read_head(source)
    assert source.taken == read.HEAD_BYTES
    assert (result.subject, len(result.headers)) == ("s", parts.MAX_FIELDS)


def test_large_files_are_extracted_in_frames() -> None:
    data = random.Random(3).randbytes(3_000_000)
    raw = multipart(
        b"\r\nText",
        b"Content-Type: a/b\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(data),
    )
    ((index, pieces),) = [(index, list(pieces)) for index, pieces in read.extract(io.BytesIO(raw), [7, 0])]
    assert index == 0
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= MAX_RAW_FRAME


def test_nothing_is_imported_after_warm_up() -> None:
    code = """
import io, sys
from revscript.jail.reading.read import read, read_head, extract, warm_up
warm_up()
loaded = set(sys.modules)
class Closed:
    def find_spec(self, name, path=None, target=None):
        raise AssertionError("imported " + name)
sys.meta_path[:] = [Closed()]
for path in sys.argv[1:]:
    raw = open(path, "rb").read()
    found = read(io.BytesIO(raw), len(raw))
    assert not found.fallback, (path, found.defects)
    read_head(io.BytesIO(raw))
    for _, pieces in extract(io.BytesIO(raw), range(len(found.attachments))):
        list(pieces)
assert set(sys.modules) == loaded, set(sys.modules) - loaded
ours = {name for name in sys.modules if name.startswith("revscript.")}
assert all(name.startswith("revscript.jail") for name in ours), ours
assert not {"ssl", "http.client", "email.headerregistry", "html.parser"} & set(sys.modules)
"""
    mails = [str(golden_mails.FOLDER / name / "mail.eml") for name in golden_mails.names()]
    done = subprocess.run([sys.executable, "-c", code, *mails], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def mutations() -> Iterator[bytes]:
    """Golden mails with bytes changed, cut, doubled; always the same ones."""
    source = random.Random(11)
    mails = [golden_mails.mail(name) for name in golden_mails.names() if len(golden_mails.mail(name)) > 20]
    for number in range(400):
        raw = bytearray(mails[number % len(mails)])
        for _ in range(source.randint(1, 12)):
            at = source.randrange(len(raw))
            choice = source.randrange(4)
            if choice == 0:
                raw[at] = source.randrange(256)
            elif choice == 1:
                del raw[at : at + source.randint(1, 30)]
            elif choice == 2:
                raw[at:at] = raw[at : at + source.randint(1, 60)]
            else:
                raw[at:at] = source.choice([b"\r\n", b"=?", b"?=", b'"', b";", b"--b\r\n", b"\0", b"<", b"(", b"*0*="])
            if len(raw) < 2:
                break
        yield bytes(raw)


def test_mutated_mails_are_read() -> None:
    for raw in mutations():
        result = reading(raw)
        assert not result.fallback, (raw, result.defects)


# fmt: off
TOKENS = st.sampled_from([
    b"From: ", b"To: ", b"Subject: ", b"Date: ", b"Content-Type: ", b"multipart/mixed; boundary=b",
    b"text/html", b"\r\n", b"\r\n\r\n", b"--b", b"--b--", b"=?utf-8?Q?", b"=?utf-8?B?", b"?=", b"; charset=",
    b"utf-16", b"utf-8", b"hz", b"<", b">", b"@", b",", b"(", b")", b'"', b"\\", b"; name*0*=", b"''", b"%C3",
    b"Content-Transfer-Encoding: ", b"base64", b"quoted-printable", b"x-uuencode", b"begin 644 x\r\n",
    b"Content-Disposition: attachment; filename=", b"../", b"\r", b"message/rfc822",
    b"multipart/alternative; boundary=b", b"<td>", b"<!--", b"&#x;", b"24 Nov 2026 08:00:00 +0100",
])
# fmt: on


@settings(max_examples=300, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(TOKENS | st.binary(max_size=12), max_size=60).map(b"".join))
def test_random_mails_are_read(raw: bytes) -> None:
    result = reading(raw)
    assert not result.fallback, result.defects
    conform_fields(read.read_head(io.BytesIO(raw)))
    sizes = {index: sum(map(len, pieces)) for index, pieces in read.extract(io.BytesIO(raw), range(99))}
    assert list(sizes.values()) == [one.size for one in result.attachments]
    assert json.dumps(to_plain(result))
