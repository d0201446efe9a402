"""Silence is a fault: a mailbox into which no mail comes, and a watcher that no longer looks.

What a mailbox's watcher knows of an error itself is told by it, and not twice. Here is only what nobody would tell:
mail that stays away although the mailbox works, and a watcher that hangs without an error.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from revscript.config import Account
from revscript.health.clock import span
from revscript.model import Clock, Problem, ProblemSink
from revscript.snapshot import Snapshot
from revscript.store.database import Database
from revscript.store.pulse import Pulse, last_mail, pulse

MISSED = 3  # rounds that a watcher may be late: a slow server, a large mail
LONGEST_PAUSE = 1800.0  # s that a watcher rests after an error (design §10)
SLACK = 60.0  # s more: connecting, and the machine's own hiccups

log = structlog.get_logger()


class Silence:
    """Watches that mail comes as often as the account says (`expect_every`)."""

    def __init__(self, database: Database, problems: ProblemSink, clock: Clock, trusted: Callable[[], bool]) -> None:
        self._database = database
        self._problems = problems
        self._clock = clock
        self._trusted = trusted  # whether the host's clock is right
        self._started = clock()
        self._last: dict[str, tuple[int, datetime]] = {}  # account → its last mail
        self._told: set[str] = set()

    def check(self, snapshot: Snapshot) -> None:
        """Report who is silent and clear who is not any more; StoreError when the store cannot tell."""
        expecting = {name: one for name, one in snapshot.accounts.items() if one.enabled and one.expect_every}
        for name in self._told - expecting.keys():
            self._clear(name)
        if not self._trusted():
            return  # times cannot be compared now; what stands, stands
        now = self._clock()
        self._started = min(self._started, now)  # somebody has set the clock right
        for account in expecting.values():
            self._check(account, now)

    def _check(self, account: Account, now: datetime) -> None:
        box = pulse(self._database, account.mailboxes())
        last = self._last_mail(account, box)
        begun = last or box.since or self._started
        if now - begun <= timedelta(minutes=account.expect_every or 0):
            self._clear(account.name)
        elif not box.failing and box.proved and box.proved >= self._started:
            # It was looked into since our start, which takes along all mails that waited.
            self._told.add(account.name)
            self._problems.report(_silent(account, last, begun))

    def _last_mail(self, account: Account, box: Pulse) -> datetime | None:
        known = self._last.get(account.name)
        has_canary = account.canary is not None
        found = last_mail(self._database, box.ids, known[0] if known else 0, has_canary=has_canary) or known
        if found is None:
            return None
        self._last[account.name] = found
        return found[1]

    def _clear(self, name: str) -> None:
        self._told.discard(name)
        self._problems.clear(f"silent:{name}")


def _silent(account: Account, last: datetime | None, begun: datetime) -> Problem:
    since = f"{begun.astimezone(UTC):%d.%m.%Y %H:%M} UTC"
    what = f"No mail has come since {since}" if last else f"No mail has come at all; it is watched since {since}"
    return Problem(
        f"silent:{account.name}",
        f"account {account.name}",
        f"{what}, although one is expected every {span(60 * (account.expect_every or 0))} (expect_every).",
        f"Send a mail to {account.address} and look for it (`revscript show mails`). If it does not arrive: it may "
        "lie in another folder (spam), or the sender lacks the address. If it does: ask the control centre.",
    )


@dataclass(frozen=True, slots=True)
class Sign:
    """A watcher's sign of life; all times monotonic.

    `proved`: the last look that came to its end. `moved`: the last step of its loop, whatever it was: each piece of a
    mail counts, or a large mail on a slow line would look like a watcher that hangs. `due`: seconds within which it
    looks again. `failing`: it knows of an error itself and tells it.
    """

    mailbox: str  # as in the keys of its problems
    account: str
    started: float
    proved: float | None
    due: float
    failing: bool
    alive: bool = True
    moved: float | None = None


class Watchdog:
    """Watches the watchers, and has those started anew that hang. `restart(account)` must not wait for them."""

    def __init__(
        self, problems: ProblemSink, restart: Callable[[str], None], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._problems = problems
        self._restart = restart
        self._monotonic = monotonic
        self._stale: set[str] = set()

    def check(self, signs: Iterable[Sign]) -> None:
        """Look at all watchers that should run."""
        now, seen, hanging = self._monotonic(), set[str](), set[str]()
        for sign in signs:
            seen.add(sign.mailbox)
            if self._hangs(sign, now):
                self._stale.add(sign.mailbox)
                self._problems.report(_stale(sign))
                hanging.add(sign.account)
            elif sign.failing or (sign.proved is not None and sign.proved > sign.started):
                self._recovered(sign.mailbox)
            # else: it was started a moment ago, and has proved nothing yet
        for mailbox in self._stale - seen:
            self._recovered(mailbox)
        for account in sorted(hanging):
            log.warning("watcher hangs", account=account)
            self._restart(account)

    def _hangs(self, sign: Sign, now: float) -> bool:
        if not sign.alive:
            return True
        if sign.failing and sign.moved is None:
            return False
        quiet = now - max(sign.started, sign.proved or 0.0, sign.moved or 0.0)
        return quiet > MISSED * sign.due + SLACK + (LONGEST_PAUSE if sign.failing else 0.0)

    def _recovered(self, mailbox: str) -> None:
        self._stale.discard(mailbox)
        self._problems.clear(f"stale:{mailbox}")


def _stale(sign: Sign) -> Problem:
    return Problem(
        f"stale:{sign.mailbox}",
        f"account {sign.account}",
        "The mailbox is not watched: its watcher does not move any more, without an error.",
        "It is started anew by itself. If this comes again, restart revscript and report it with the log.",
    )
