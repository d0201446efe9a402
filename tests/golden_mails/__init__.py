"""Invented mails as folders: `NAME/mail.eml` and what the reader must make of it, `NAME/reading.json`."""

from __future__ import annotations

import io
import json
from pathlib import Path

from revscript.jail.plain import to_plain
from revscript.jail.reading.read import read

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The folders' names in order."""
    return sorted(path.parent.name for path in FOLDER.glob("*/mail.eml"))


def mail(name: str) -> bytes:
    """The raw mail of a folder."""
    return (FOLDER / name / "mail.eml").read_bytes()


def expected(name: str) -> str:
    """The reviewed reading of a folder, as text; "" when there is none yet."""
    path = FOLDER / name / "reading.json"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def actual(name: str) -> str:
    """What the reader makes of the mail now, as stable JSON text."""
    raw = mail(name)
    reading = read(io.BytesIO(raw), len(raw))
    return json.dumps(to_plain(reading), indent=1, ensure_ascii=False) + "\n"
