"""Charsets, transfer encodings, HTML to text, names, types, limits of texts."""

from __future__ import annotations

import base64
import binascii
import codecs
import random

import pytest

from revscript.jail.reading import charsets, names, types
from revscript.jail.reading.clean import Defects, fit, many_lines, one_line, wire_size
from revscript.jail.reading.html_text import to_text
from revscript.jail.reading.transfer import chopped, decoded


@pytest.mark.parametrize(
    ("data", "declared", "expected"),
    [
        ("Grüße".encode(), "", "Grüße"),
        ("Grüße".encode("cp1252"), "", "Grüße"),
        ("Grüße".encode("cp1252"), "utf-8", "Grüße"),
        ("Grüße".encode(), "us-ascii", "Grüße"),
        (b"\x80 \x93x\x94", "iso-8859-1", "€ “x”"),
        ("Grüße".encode("utf-16"), "utf-16", "Grüße"),
        ("Grüße".encode("utf-16-be"), "UTF-16", "Grüße"),
        ("Grüße".encode("utf-16-le"), "ucs-2", "Grüße"),
        (b"kein UTF-16", "utf-16", "kein UTF-16"),
        ("Grüße".encode("utf-8-sig"), "iso-8859-1", "Grüße"),
        ("ü".encode("cp850"), "cp-850", "ü"),
        ("你好".encode("gb18030"), "GB2312", "你好"),
        ("한".encode("cp949"), "ks_c_5601-1987", "한"),
        ("日本".encode("cp932"), "x-sjis", "日本"),
        (b"+ADw-", "utf-7", "+ADw-"),
        (b"\\u0041", "unicode_escape", "\\u0041"),
        (b"xn--mnchen-3ya", "idna", "xn--mnchen-3ya"),
    ],
)
def test_charsets(data: bytes, declared: str, expected: str) -> None:
    assert charsets.decode(data, declared)[0] == expected


def test_a_few_wrong_bytes_do_not_spoil_a_good_text() -> None:
    text, problem = charsets.decode("Überflutung in der Höhe ü".encode() + b"\xff", "utf-8")
    assert text == "Überflutung in der Höhe ü\ufffd"
    assert problem
    assert charsets.decode("Grü".encode()[:-1], "utf-8", final=False) == ("Gr", "")


def test_foreign_names_never_reach_the_codec_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def search(name: str) -> codecs.CodecInfo | None:
        asked.append(name)
        return None

    codecs.register(search)
    try:
        for name in ("gibt-es-nicht-123", "x" * 50_000, "../../etc", "undefined", "zlib", "rot13", ""):
            assert charsets.find(name) is None
            charsets.decode(b"abc", name)
    finally:
        codecs.unregister(search)
    assert asked == []


def test_every_codec_survives_random_bytes() -> None:
    charsets.warm_up()
    source = random.Random(7)
    for codec in (
        "utf-8",
        "utf-16",
        "utf-32",
        "hz",
        "iso2022_jp_2",
        "iso2022_kr",
        "euc_jp",
        "gb18030",
        "big5",
        "johab",
    ):
        for _ in range(300):
            text, _ = charsets.decode(source.randbytes(40), codec, final=source.random() < 0.5)
            assert not any("\ud800" <= char <= "\udfff" for char in text)


def take_off(raw: str, encoding: str) -> tuple[bytes, tuple[str, ...]]:
    defects = Defects()
    return b"".join(decoded(raw, encoding, defects)), defects.texts()


@pytest.mark.parametrize(
    ("raw", "expected", "flawed"),
    [
        ("SGFsbG8=", b"Hallo", False),
        ("SGFs\r\nbG8=\r\n", b"Hallo", False),
        ("SGFsbG8", b"Hallo", False),
        ("SGFsbG8=SGFsbG8=", b"HalloHallo", True),
        ("SGF*sb!G8=", b"Hallo", True),
        ("SGFsbG8=X", b"Hallo", True),
        ("====", b"", False),
        ("\udcff\udcfe", b"", True),
        ("", b"", False),
    ],
)
def test_base64(raw: str, expected: bytes, flawed: bool) -> None:
    data, defects = take_off(raw, "base64")
    assert data == expected
    assert bool(defects) == flawed


def test_large_bodies_decode_the_same_in_pieces() -> None:
    data = random.Random(1).randbytes(2_500_001)
    assert take_off(base64.encodebytes(data).decode(), "base64") == (data, ())
    quoted = binascii.b2a_qp(data, istext=False).decode("ascii")
    assert take_off(quoted, "quoted-printable")[0] == data
    one_line_only = quoted.replace("=\n", "")
    assert take_off(one_line_only, "quoted-printable")[0] == data
    lines = "".join(binascii.b2a_uu(data[n : n + 45]).decode() for n in range(0, len(data), 45))
    assert take_off(f"begin 644 x\n{lines}`\nend\n", "x-uuencode") == (data, ())
    assert take_off("=A" * 700_000, "base64")[1]


def test_quoted_printable_is_lenient() -> None:
    assert take_off("a=  \r\nb=\r\nc=\rd=3D =XY", "quoted-printable") == (
        b"abcd= =XY",
        ("quoted-printable with wrong escapes",),
    )
    assert take_off("abc", "x-geheim")[0] == b"abc"


def test_chopped() -> None:
    assert list(chopped(iter([b"abcde", b"", b"f"]), 2)) == [b"ab", b"cd", b"e", b"f"]


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p>Hallo<br>Welt &uuml;</p><p>B</p>", "Hallo\nWelt ü\n\nB"),
        ("<table><tr><td><p>Feld:</p></td><td><p>Wert</p></td></tr><tr><td>Y<td>Z</table>E", "Feld:  Wert\nY  Z\nE"),
        ("<table><tr><td>X</td><td></td></tr><tr><td>Y</td></tr></table>", "X\nY"),
        ("<td>Ort</td>\n  <td> Wasserstr. 5 </td>", "Ort  Wasserstr. 5"),
        ("<style>x</style><!-- c -->a<b>b</b> c<div>d</div>e<script>f<g</script >", "ab c\nd\ne"),
        ("<ul><li>a<li>b</ul>", "* a\n* b"),
        ("<pre>a\n  b</pre>c", "a\n  b\nc"),
        ("1 < 2 & 3", "1 < 2 & 3"),
        ('<div style="display: none">geheim<div>x</div></div>sichtbar', "sichtbar"),
        ('<a title="x>y">t</a><o:p>&nbsp;</o:p>u', "t u"),
        ("<![if !mso]>x<![endif]>&#99999999999;&#x20AC;", "x€"),
        ("&#" + "1" * 5000 + ";a", "a"),
        ("sichtbar<!-- offen", "sichtbar"),
        ("<br", ""),
    ],
)  # fmt: skip
def test_html_to_text(html: str, expected: str) -> None:
    assert to_text(html) == expected


@pytest.mark.parametrize(
    "flood",
    ["<!--", "<a ", '<a ">"', "<a '>\"", "<div>", "&amp", "<p style=display:none>", "<", "<td>", '"<x y="'],
)
def test_html_floods_are_linear(flood: str) -> None:
    to_text(flood * (1_000_000 // len(flood)))  # a quadratic scanner would take minutes


@pytest.mark.parametrize(
    ("original", "expected"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\x.exe", "x.exe"),
        ("C:\\a\\b.pdf", "b.pdf"),
        ("con", "_con"),
        ("COM1 .txt", "_COM1 .txt"),
        ("nul\0.txt", "_nul.txt"),
        ("a:b.txt", "a_b.txt"),
        ("..", ""),
        (" . ", ""),
        ("-rf", "_rf"),
        (".bashrc", "bashrc"),
        ("x\u202egpj.exe", "xgpj.exe"),
        ("a\u0308\n.txt", "ä.txt"),
        ("ü" * 200 + ".pdf", "ü" * 98 + ".pdf"),
    ],
)
def test_names(original: str, expected: str) -> None:
    assert names.safe(original) == expected


def test_equal_names_get_numbers_within_the_limit() -> None:
    given = names.Names()
    assert [given.give(name, 1, "") for name in ("a.pdf", "A.PDF", "a.pdf", "a-2.pdf")] == [
        "a.pdf", "A-2.PDF", "a-3.pdf", "a-2-2.pdf",
    ]  # fmt: skip
    many = [given.give("ß" * 300 + ".txt", 1, "") for _ in range(3000)]
    assert len({name.casefold() for name in many}) == 3000
    assert max(len(name.encode()) for name in many) <= names.MAX_BYTES
    assert given.give("", 7, "application/octet-stream") == "attachment-7.bin"
    assert given.give("", 8, "message/rfc822") == "attachment-8.eml"


@pytest.mark.parametrize(
    ("head", "declared", "name", "expected"),
    [
        (b"%PDF-1.7", "application/octet-stream", "", "application/pdf"),
        (b"MZ\x90\0", "image/png", "b.png", "application/x-msdownload"),
        (b"kein Bild", "image/png", "b.png", "text/plain"),
        (b"\0\1\2", "image/png", "b.png", "application/octet-stream"),
        (b"PK\3\4", "application/octet-stream", "l.docx", types.sniff(b"PK\3\4", "", "l.docx")),
        (b"PK\3\4", "application/vnd.oasis.opendocument.text", "", "application/vnd.oasis.opendocument.text"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
            "application/octet-stream",
            "m.msg",
            "application/vnd.ms-outlook",
        ),
        (b"\x78\x9f\x3e\x22", "application/octet-stream", "winmail.dat", "application/ms-tnef"),
        (b"<?xml version='1.0'?><a/>", "application/cap+xml", "", "application/cap+xml"),
        (b"<svg/>", "image/png", "", "image/svg+xml"),
        (b" <!DOCTYPE HTML>", "text/plain", "", "text/html"),
        (b"a;b", "application/octet-stream", "w.csv", "text/csv"),
        (b"From: x", "message/rfc822", "", "message/rfc822"),
        (b"\x30\x82", "application/pkcs7-signature", "", "application/pkcs7-signature"),
        (b"", "application/pdf", "", "application/pdf"),
    ],
)
def test_types(head: bytes, declared: str, name: str, expected: str) -> None:
    assert types.sniff(head, declared, name) == expected


def test_cleaning_and_fitting() -> None:
    assert one_line(" a\r\n\tb\x00\x85c\u202e\ud800 ") == "a b c"
    assert many_lines("a\r\nb\rc\x0c\x1b\td\u2028e") == "a\nb\nc\td\ne"
    assert fit("ü" * 100, 50, 10_000) == "ü" * 50
    assert wire_size(fit("ü😀" * 1000, 5000, 1000)) <= 1000
    defects = Defects()
    for n in range(500):
        defects.add(f"d{n}\n" * 200)
    assert len(defects.texts()) == 100
    assert max(map(len, defects.texts())) <= 300
