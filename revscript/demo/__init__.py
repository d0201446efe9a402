"""A command post to try out: mail servers in this process, three accounts, four scripts, twelve invented mails."""

from __future__ import annotations

from importlib.util import find_spec

EXTRA = ("pymap", "aiosmtpd")


def missing() -> list[str]:
    """The packages of the extra `demo` that are not installed; the other modules here need them."""
    return [name for name in EXTRA if find_spec(name) is None]
