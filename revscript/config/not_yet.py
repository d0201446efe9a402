"""Options that this version knows by name only: refused, never ignored. Each version shortens the table.

The table looks at the file as it was written, so that its findings stand beside those of the models.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from revscript.config.base import dig
from revscript.config.findings import Finding, shown


@dataclass(frozen=True)
class Gap:
    """An option at `place` that is refused; `instead` is the way out.

    Refused is the one value `word`, without it whatever differs from off, empty or left out.
    """

    place: str
    instead: str
    word: str | None = None

    def asked(self, value: Any) -> bool:
        """Whether a value at the place asks for what is not there."""
        return value == self.word if self.word else bool(value)


ACCOUNT = (
    Gap("authentication.method", 'use "password"', "oauth2"),
    Gap("receiving.protocol", 'use "imap"', "pop3"),
    Gap("sending.sign", "leave it out, mails are sent unsigned"),
    Gap("sending.encrypt", "leave it out, mails are sent unencrypted"),
    Gap("sending.authentication.method", 'use "password" or "none"', "oauth2"),
)
SETTINGS = (
    Gap("network.proxy", "leave it out, servers are reached directly"),
    Gap("network.ca_file", "name it in each account's ca_file"),
)
HIDDEN = frozenset(gap.word for gap in ACCOUNT if gap.word)  # words that no message offers

LOGIN = (
    'is needed to receive: {"method": "password", "username": "…", "password": "secret:NAME"}; '
    '"none" is not available in this version of revscript'
)


def refused(data: Any, gaps: tuple[Gap, ...], file: str) -> Iterator[Finding]:
    """Yield a finding for every option of `data` (a file's content) that does not work yet."""
    for gap in gaps:
        value = dig(data, gap.place)
        if value is not None and gap.asked(value):
            text = f"{shown(value)} is not available in this version of revscript; {gap.instead}"
            yield Finding(file, gap.place, shown(value), text)
    if gaps is ACCOUNT and _receives_without_login(data):
        yield Finding(file, "authentication", "", LOGIN)


def _receives_without_login(data: Any) -> bool:
    receives = dig(data, "receiving.protocol") in ("imap", "pop3")
    return receives and ("authentication" not in data or dig(data, "authentication.method") == "none")
