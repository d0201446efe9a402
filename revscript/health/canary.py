"""The canary: a mail that an account sends to itself, through its own SMTP server, and that must come back.

It is the one proof from end to end: outbox, SMTP server, the provider's delivery, mailbox, watcher and engine.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from typing import Any

import structlog

from revscript.config import Account, Canary, NoReceiving, Smtp
from revscript.health.clock import span
from revscript.model import Clock, Problem, ProblemSink
from revscript.outbound.compose import message_id
from revscript.snapshot import Snapshot
from revscript.store.bell import Bell
from revscript.store.canary import KEY, Canaries, Flight, Sending
from revscript.store.database import Database
from revscript.store.pulse import pulse

MOST_OPEN = 50  # flights of an account that are waited for
GRACE = 60.0  # s that a canary gets after its mailbox works again

log = structlog.get_logger()


@dataclass(slots=True)
class _Open:
    """A canary that is not back: its flight, the key of its act (unknown after a restart), and its deadline."""

    flight: Flight
    key: str | None
    deadline: float  # monotonic


@dataclass(slots=True)
class _Cage:
    """What is known of one account's canaries."""

    next_at: float  # monotonic: when the next one is sent
    open: list[_Open] = field(default_factory=list[_Open])  # oldest first


class CanaryFlights:
    """Sends canaries and waits for them."""

    def __init__(
        self,
        database: Database,
        canaries: Canaries,
        bell: Bell,
        problems: ProblemSink,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._canaries = canaries
        self._bell = bell
        self._problems = problems
        self._clock = clock
        self._monotonic = monotonic
        self._cages: dict[str, _Cage] = {}

    def check(self, snapshot: Snapshot) -> None:
        """See who is back and who is overdue, send who is due; StoreError when the store cannot be used."""
        flying = {name: one for name, one in snapshot.accounts.items() if _flies(one)}
        for name in self._cages.keys() - flying.keys():
            del self._cages[name]
            self._problems.clear(f"canary:{name}")
        for name, account in flying.items():
            if account.canary is not None:
                self._check(name, account, account.canary)

    def _check(self, name: str, account: Account, settings: Canary) -> None:
        cage = self._cages.get(name) or self._cages.setdefault(name, self._resumed(name, settings))
        self._land(name, cage)
        self._judge(account, settings, cage)
        now = self._monotonic()
        cage.next_at = min(cage.next_at, now + 60 * settings.every)  # the setting may have changed
        if now >= cage.next_at:
            cage.open = [*cage.open[-MOST_OPEN:], self._send(account, settings)]
            cage.next_at = now + 60 * settings.every

    def _resumed(self, name: str, settings: Canary) -> _Cage:
        """After a start: the last run's canary may lie in the mailbox, and gets its time from now on."""
        last, now = self._canaries.last(name), self._monotonic()
        if last is None:
            return _Cage(now)
        age = (self._clock() - last.sent_at).total_seconds()
        cage = _Cage(now + min(max(0.0, 60 * settings.every - age), 60 * settings.every))
        if last.seen_at is None:
            cage.open.append(_Open(last, None, now + 60 * settings.within))
        return cage

    def _send(self, account: Account, settings: Canary) -> _Open:
        now, key = self._clock(), f"{KEY}{account.name}:{secrets.token_hex(16)}"
        identifier = message_id(key, self._database.instance_id, account.address)
        not_after = now + timedelta(minutes=settings.within)
        flight = self._canaries.send(account.name, identifier, key, _payload(account, settings), now, not_after)
        self._bell.ring("act")
        log.info("canary sent", account=account.name, canary=flight.id)
        return _Open(flight, key, self._monotonic() + 60 * settings.within)

    def _land(self, name: str, cage: _Cage) -> None:
        """One that is back proves that the way is free: no older one is waited for."""
        for place in reversed(range(len(cage.open))):
            one = cage.open[place].flight
            if (seen_at := self._canaries.seen(one)) is not None:
                seconds = max(0.0, (seen_at - one.sent_at).total_seconds())
                log.info("canary back", account=name, canary=one.id, seconds=round(seconds, 1))
                del cage.open[: place + 1]
                self._problems.clear(f"canary:{name}")
                return

    def _judge(self, account: Account, settings: Canary, cage: _Cage) -> None:
        if not cage.open or self._monotonic() < cage.open[0].deadline:
            return
        if pulse(self._database, account.mailboxes()).failing:  # it has a Problem of its own
            for one in cage.open:
                one.deadline = max(one.deadline, self._monotonic() + GRACE)
            return
        first = cage.open[0]
        sending = self._canaries.sending(first.key) if first.key else None
        self._problems.report(_missing(account, settings, first.flight, sending))


def _flies(account: Account) -> bool:
    able = isinstance(account.sending, Smtp) and not isinstance(account.receiving, NoReceiving)
    is_read = bool(account.methods.names())  # else it would come back, and nobody would look at it
    return account.enabled and account.canary is not None and able and is_read


def _payload(account: Account, settings: Canary) -> dict[str, Any]:
    text = (
        f"This mail was sent by revscript from the account {account.name} to itself, as a proof that mail comes "
        f"through. It is expected back within {span(60 * settings.within)}; otherwise revscript reports a problem.\n\n"
        "No script runs for it, and it makes no form and no entry. You can delete it.\n"
    )
    return {
        "account": account.name,
        "from": account.address,
        "to": [account.address],
        "cc": [],
        "subject": f"revscript canary: does mail to {account.name} come through?",
        "text": text,
        "html": None,
        "in_reply_to": None,
        "files": [],
        "attachments": [],
    }


def _missing(account: Account, settings: Canary, flight: Flight, sending: Sending | None) -> Problem:
    sent_at = f"{flight.sent_at.astimezone(UTC):%H:%M:%S} UTC"
    stuck, way_out = _stuck(account, sending)
    return Problem(
        f"canary:{account.name}",
        f"account {account.name}",
        f"The canary mail of {sent_at} has not come back within {span(60 * settings.within)}: {stuck}",
        f"{way_out} Until a canary is back, do not rely on mail to {account.address}.",
    )


def _stuck(account: Account, sending: Sending | None) -> tuple[str, str]:
    """Where it got stuck, and what to do there."""
    if sending is None:
        return "where it got stuck is not known.", "See `revscript show outbox` and the mailbox."
    if sending.state == "sent" and sending.finished_at:
        return (
            f"the SMTP server took it at {sending.finished_at.astimezone(UTC):%H:%M:%S} UTC, the mailbox never got it.",
            f"Look for it with a mail program in all folders of {account.address} (spam), and ask the provider.",
        )
    if sending.error:
        return f"it could not be sent: {sending.error}", 'Check "sending" in the account file and the SMTP server.'
    return "it still waits in the outbox behind other mails.", "See `revscript show outbox`."
