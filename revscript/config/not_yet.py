"""Options that this version knows by name only: refused, never ignored. Each version shortens the table.

The table looks at the file as it was written, so that its findings stand beside those of the models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from revscript.config.base import dig
from revscript.config.findings import Finding, shown


def _given(value: Any) -> bool:
    """Whatever differs from off, empty or left out."""
    return bool(value)


def _is(word: str) -> Callable[[Any], bool]:
    return lambda value: value == word


def _several(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1  # pyright: ignore[reportUnknownArgumentType]


def _always(_: Any) -> bool:
    return True


def _receives(data: Any) -> bool:
    return dig(data, "receiving.protocol") in ("imap", "pop3")


@dataclass(frozen=True)
class Gap:
    """An option at `place` that is refused where `asked` says so; `instead` is the way out.

    `default` is what counts where the file says nothing; `only_if` looks at the whole file.
    """

    place: str
    asked: Callable[[Any], bool]
    instead: str
    default: Any = None
    only_if: Callable[[Any], bool] = _always


ACCOUNT = (
    Gap("authentication.method", _is("oauth2"), 'use "password"'),
    Gap("authentication.method", _is("none"), 'use "password" to receive', default="none", only_if=_receives),
    Gap("receiving.protocol", _is("pop3"), 'use "imap"'),
    Gap("receiving.folders", _several, "name one folder"),
    Gap("receiving.push", _given, "leave it out, mails are fetched at each interval"),
    Gap("receiving.first_contact", _given, "leave it out, all unread mails are processed"),
    Gap("receiving.after.keyword", _given, 'use "seen", "delete", "none" or {"move": "FOLDER"}'),
    Gap("sending.sign", _given, "leave it out, mails are sent unsigned"),
    Gap("sending.encrypt", _given, "leave it out, mails are sent unencrypted"),
    Gap("sending.authentication.method", _is("oauth2"), 'use "password" or "none"'),
    Gap("ignore_server_certificate", _given, "name your own authority's certificate in ca_file"),
    Gap("allowed_senders", _given, "leave it out and look at mail.sender in the script"),
    Gap("skip", _given, "leave it out and look at mail.is_auto_reply in the script"),
)
SETTINGS = (
    Gap("network.proxy", _given, "leave it out, servers are reached directly"),
    Gap("network.ca_file", _given, "name it in each account's ca_file"),
)


def refused(data: Any, gaps: tuple[Gap, ...], file: str) -> Iterator[Finding]:
    """Yield a finding for every option of `data` (a file's content) that does not work yet."""
    for gap in gaps:
        silent = gap.place.split(".")[0] not in data
        value = gap.default if silent else dig(data, gap.place)
        if value is not None and gap.asked(value) and gap.only_if(data):
            text = f"{shown(value)} is not available in this version of revscript; {gap.instead}"
            yield Finding(file, gap.place, shown(value), text)
