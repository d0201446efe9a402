"""Bytes to text: which charset names we believe, and what is done with the others (mime.md §3).

SECURITY: Python's codec registry also knows `idna`, `undefined`, `unicode_escape`, `rot13`, `zlib` …, imports
modules by the names it is asked for, and remembers every name. Foreign names therefore never reach it: they
are looked up in the table below, which holds real text codecs only. UTF-7 is left out (it hides markup from
scanners).
"""

from __future__ import annotations

import codecs
import re
from typing import Any

MAX_NAME = 40  # characters; no registered charset name is longer than 45, none in use longer than 20

_CODECS = (
    "utf-8 utf-16 utf-16-le utf-16-be utf-32 utf-32-le utf-32-be cp1252 iso8859-2 iso8859-3 "
    "iso8859-4 iso8859-5 iso8859-6 iso8859-7 iso8859-8 iso8859-9 iso8859-10 iso8859-11 iso8859-13 "
    "iso8859-14 iso8859-15 iso8859-16 cp1250 cp1251 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 "
    "cp437 cp720 cp737 cp775 cp850 cp852 cp855 cp857 cp858 cp860 cp861 cp862 cp863 cp865 cp866 "
    "cp869 cp874 koi8-r koi8-u koi8-t kz1048 ptcp154 mac-roman mac-latin2 mac-cyrillic mac-greek "
    "mac-turkish tis-620 gb18030 hz big5 big5hkscs cp932 euc_jp iso2022_jp iso2022_jp_1 "
    "iso2022_jp_2 iso2022_jp_3 iso2022_jp_ext cp949 johab iso2022_kr "
)

# Senders mean the superset when they name the subset: iso-8859-1 from Windows is cp1252 (WHATWG Encoding).
_ALIASES = {
    "cp1252": "iso-8859-1 latin1 l1 cp819 ibm819 us-ascii ascii ansi_x3.4-1968 iso646-us ansi",
    "utf-8": "utf8mb4 unicode-1-1-utf-8 utf-8-sig unicode",
    "utf-16": "ucs-2 iso-10646-ucs-2",
    "iso8859-2": "latin2 l2",
    "iso8859-8": "iso-8859-8-i iso-8859-8-e",
    "cp1254": "iso-8859-9 latin5 l5",
    "iso8859-15": "latin9 latin-9 l9",
    "cp874": "tis-620 iso-8859-11",
    "gb18030": "gb2312 gbk cp936 gb_2312-80 euc-cn chinese",
    "big5hkscs": "big5 cp950 big5-tw big5-hkscs cn-big5",
    "cp949": "ks_c_5601-1987 ks_c_5601 euc-kr ksc5601 korean",
    "cp932": "shift_jis shift-jis sjis ms_kanji windows-31j",
    "euc_jp": "ujis",
    "mac-roman": "macintosh mac",
    "koi8-r": "koi8",
    "hz": "hz-gb-2312",
}
# The bytes that Python's cp1252 leaves undefined become C1 controls, as in browsers; they are cleaned later.
_CP1252: Any = "".join(bytes([n]).decode("cp1252", "ignore") or chr(n) for n in range(256))
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_META = re.compile(rb"<meta[^>]{0,200}?charset\s{0,9}=\s{0,9}[\"']?([A-Za-z0-9_.:\-]{1,40})", re.IGNORECASE)


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _build_table() -> dict[str, str]:
    known = _CODECS.split()
    table = {_key(codec): codec for codec in known}
    table |= {_key(f"windows-{n}"): f"cp{n}" for n in range(1250, 1259)}
    table |= {_key(f"ibm{codec[2:]}"): codec for codec in known if codec.startswith("cp")}
    for codec, names in _ALIASES.items():
        table |= {_key(name): codec for name in names.split()}
    return table


_TABLE = _build_table()


def find(name: str) -> str | None:
    """Python's codec for a charset name of a mail, or None when it is unknown, too long or not for text."""
    if not name or len(name) > MAX_NAME:
        return None
    key = _key(name)
    return _TABLE.get(key) or _TABLE.get(key.removeprefix("x"))


def decode(data: bytes, declared: str = "", *, final: bool = True) -> tuple[str, str]:
    """Text of `data` and what was wrong ("" if nothing); never raises.

    A byte order mark wins, then the declared charset, then UTF-8, then cp1252. `final=False` says that `data`
    was cut, perhaps inside a character.
    """
    codec = find(declared)
    problem = f"unknown charset {declared[:MAX_NAME]!r}" if declared and codec is None else ""
    for mark, marked in _MARKS:
        if data.startswith(mark):
            data, codec = (data[3:] if marked == "utf-8" else data), marked
    if codec in ("utf-16", "utf-32"):
        codec = _wide(data, codec)
        problem = problem or ("" if codec else f"the text is not {declared}")
    if codec is None or (codec == "cp1252" and "ascii" in declared.lower()):
        return _undeclared(data, final=final), problem
    if codec == "cp1252":
        return codecs.charmap_decode(data, "strict", _CP1252)[0], problem
    return _with_codec(data, codec, problem, final=final)


def meta_charset(data: bytes) -> str:
    """The charset that an HTML text names in its head, or ""; UTF-16 means UTF-8 (WHATWG HTML §13.2.3.2)."""
    found = _META.search(data[:4096])
    name = found[1].decode("ascii") if found else ""
    return "utf-8" if name.lower().startswith("utf-16") else name


def warm_up() -> None:
    """Load every codec that `decode` can ever use, before imports are forbidden."""
    for codec in set(_TABLE.values()):
        codecs.getincrementaldecoder(codec)("strict").decode(b"", True)


def _wide(data: bytes, codec: str) -> str | None:
    """The codec with its byte order, or None when the bytes are no UTF-16 or UTF-32 (they hold no zero)."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")):
        return codec
    sample = data[:4000]
    if 0 not in sample:
        return None
    return codec + ("-be" if sample[::2].count(0) > sample[1::2].count(0) else "-le")


def _undeclared(data: bytes, *, final: bool) -> str:
    try:
        return codecs.utf_8_decode(data, "strict", final)[0]
    except UnicodeDecodeError:
        return codecs.charmap_decode(data, "strict", _CP1252)[0]


def _with_codec(data: bytes, codec: str, problem: str, *, final: bool) -> tuple[str, str]:
    try:
        return codecs.getincrementaldecoder(codec)("strict").decode(data, final), problem
    except UnicodeError:
        text = data.decode(codec, "replace")
    # A few broken characters in a good text: keep it. More broken than good ones: the declaration was a lie.
    broken = text.count("\ufffd")
    good = len(text) - len(text.encode("ascii", "ignore")) - broken
    if good > broken:
        return text, problem or f"the text has characters that are not {codec}"
    return _undeclared(data, final=final), problem or f"the text is not {codec}"
