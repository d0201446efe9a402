"""Reminds of certificates in the administrator's own files (`ca_file`) before they expire.

SECURITY: the files are the administrator's; what is in them is parsed by `cryptography`, and a broken one is only
skipped here (`revscript check` names it).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from revscript.jail.reading.clean import one_line
from revscript.model import Clock, Problem, ProblemSink
from revscript.snapshot import Snapshot

REMIND = timedelta(days=14)  # before a certificate expires


class Certificates:
    """Reports expiring certificates, and clears what is no longer so."""

    def __init__(self, root: Path, problems: ProblemSink, clock: Clock) -> None:
        self._root = root
        self._problems = problems
        self._clock = clock
        self._reported: set[str] = set()

    def check(self, snapshot: Snapshot) -> None:
        """Look at all files that enabled accounts and the settings name."""
        now = self._clock()
        found = [problem for name in _files(snapshot) if (problem := _problem(self._root / name, name, now))]
        for problem in found:
            self._problems.report(problem)
        keys = {problem.key for problem in found}
        for key in self._reported - keys:
            self._problems.clear(key)
        self._reported = keys


def _files(snapshot: Snapshot) -> list[str]:
    named = [account.ca_file for account in snapshot.accounts.values() if account.enabled]
    return sorted({name for name in (*named, snapshot.settings.network.ca_file) if name})


def _problem(path: Path, name: str, now: datetime) -> Problem | None:
    expiries = dict(_expiries(path))
    if not expiries:
        return None
    whose, expires = min(expiries.items(), key=lambda pair: pair[1])
    if expires - now > REMIND:
        return None
    key, date = f"certificate:{name}", f"{expires:%Y-%m-%d %H:%M} UTC"
    if expires <= now:
        what = f"The certificate of {whose} expired on {date}: servers that need it cannot be reached."
        return Problem(key, name, what, "Put the authority's new certificate into this file.")
    what = f"The certificate of {whose} expires on {date}."
    return Problem(key, name, what, "Put the authority's new certificate into this file before then.", "warning")


def _expiries(path: Path) -> Iterator[tuple[str, datetime]]:
    """Each subject with the time until which its newest certificate in the file holds."""
    try:
        certificates = x509.load_pem_x509_certificates(path.read_bytes())
        for one in sorted(certificates, key=lambda each: each.not_valid_after_utc):
            yield one_line(one.subject.rfc4514_string()) or "an unnamed authority", one.not_valid_after_utc
    except (OSError, ValueError):
        return
