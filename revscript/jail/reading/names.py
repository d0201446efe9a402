"""Attachment names that are safe as file names on Linux and Windows (mime.md §5).

SECURITY: what leaves here holds no path, no control or bidi character, no device name, is unique in its mail
without regard to case, and has at most 200 bytes. The writer of files still checks the real path.
"""

from __future__ import annotations

import re
import unicodedata

MAX_BYTES = 200  # UTF-8
MAX_EXTENSION = 20  # bytes, dot included; a longer one is no extension

_STRIPPED = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
_REPLACED = re.compile(r'[<>:"|?*]')
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])", re.IGNORECASE)

# Extension of a generated name, by type.
_EXTENSIONS = {
    "message/rfc822": ".eml",
    "application/pdf": ".pdf",
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "image/tiff": ".tif",
    "text/html": ".html",
    "text/calendar": ".ics",
    "text/csv": ".csv",
    "application/xml": ".xml",
    "text/xml": ".xml",
    "application/json": ".json",
    "application/zip": ".zip",
}


class Names:
    """The names given in one mail so far."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._next: dict[str, int] = {}

    def give(self, original: str, number: int, kind: str) -> str:
        """A safe, unique name for attachment `number` (from 1) of true type `kind`; always the same."""
        name = safe(original)
        if not name:
            text = ".txt" if kind.startswith(("text/", "message/")) else ".bin"
            name = f"attachment-{number}{_EXTENSIONS.get(kind, text)}"
        elif kind == "message/rfc822" and not name.lower().endswith((".eml", ".msg")):
            name = _limited(name, ".eml")
        return self._unique(name)

    def _unique(self, name: str) -> str:
        stem, extension = _split(name)
        key = _key(name)
        result = name
        # The counter per name keeps thousands of equal names linear.
        while _key(result) in self._taken:
            number = self._next.get(key, 2)
            self._next[key] = number + 1
            result = _limited(stem, f"-{number}{extension}")
        self._taken.add(_key(result))
        return result


def safe(original: str) -> str:
    """The name made safe, or "" when nothing is left of it."""
    name = unicodedata.normalize("NFC", _STRIPPED.sub("", original))
    name = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    name = _REPLACED.sub("_", name).strip(". \u00a0\u3000")
    if name.startswith(("-", "~")):
        name = "_" + name[1:]
    if _RESERVED.fullmatch(name.split(".")[0].rstrip()):
        name = "_" + name
    return _limited(*_split(name))


def _split(name: str) -> tuple[str, str]:
    stem, dot, extension = name.rpartition(".")
    if not dot or not stem or len(extension.encode()) >= MAX_EXTENSION:
        return name, ""
    return stem, dot + extension


def _limited(stem: str, extension: str) -> str:
    """Stem and extension within MAX_BYTES, no character cut in two."""
    room = MAX_BYTES - len(extension.encode())
    raw = stem.encode()
    if len(raw) > room:
        stem = raw[:room].decode("utf-8", "ignore").rstrip(". ")
    return stem + extension


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
