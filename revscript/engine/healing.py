"""Self-healing: when a script changes, what an older version of it left in quarantine runs again by itself.

Young mails only (`max_age` of their account), one first. When that one ends well, the others follow, of each account
one at a time; when it fails, they stay. What is too old is offered to people. All that this needs to know is in the
store (versions of the last runs, entries of what was healed), so that a restart in the middle goes on where it was.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import timedelta

import structlog

from revscript.config import Account
from revscript.engine.problems import healable_key, healed, offered, still_failing
from revscript.model import Clock, ProblemSink
from revscript.snapshot import Script, Snapshot
from revscript.store.healable import Healable, Healed
from revscript.store.quarantine import Held

log = structlog.get_logger()


class Healing:
    """Asked by the engine whenever it looks for work; costs nothing while no script has changed."""

    def __init__(
        self, healable: Healable, problems: ProblemSink, clock: Clock, clock_trusted: Callable[[], bool]
    ) -> None:
        self._healable = healable
        self._problems = problems
        self._clock = clock
        self._clock_trusted = clock_trusted
        self._guard = threading.Lock()
        self._active: set[str] = set()  # scripts of which something may be to do
        self._hasty: set[str] = set()  # scripts of which what waits for its next try is to be tried at once
        self._offered: set[str] = set()  # scripts whose old mails are offered to people

    @property
    def active(self) -> bool:
        """Whether the end of a run may be what it waits for."""
        return bool(self._active)

    def script_changed(self, names: Iterable[str]) -> None:
        """These scripts are in force in another version, or their versions are not known yet (at a start)."""
        with self._guard:
            self._active |= set(names)
            self._hasty |= set(names)

    def look_again(self) -> None:
        """People may have worked on what was offered to them."""
        with self._guard:
            self._active |= self._offered

    def step(self, snapshot: Snapshot) -> None:
        """Let run again what may now; StoreError leaves the rest for the next step."""
        with self._guard:
            for name in sorted(self._active):
                script, accounts = snapshot.scripts.get(name), _accounts(name, snapshot)
                if script is None or not accounts:
                    self._withdraw(name)
                    self._active.discard(name)
                    continue
                self._hurry(script, accounts)
                if not self._heal(script, accounts, snapshot):
                    self._active.discard(name)

    def _hurry(self, script: Script, accounts: list[str]) -> None:
        """What waits for its next try with an older version is due at once."""
        if script.name not in self._hasty:
            return
        if count := self._healable.hurry(accounts, script.sha256):
            log.info("tried again at once", script=script.name, version=script.sha256[:12], tasks=count)
        self._hasty.discard(script.name)

    def _heal(self, script: Script, accounts: list[str], snapshot: Snapshot) -> bool:
        """One script's mails → whether some of them wait for others."""
        let_run = self._healable.healed(accounts, script.name, script.sha256, self._clock())
        proven, failed = _proof(let_run, script)
        if failed is not None and not proven:
            self._offer(script, accounts, still_failing(failed.mail_id, failed.reason))
            return False
        busy = _busy(let_run, proven=proven)
        if busy and not proven:
            return True
        free = [name for name in accounts if name not in busy]
        young = [one for name in free if (one := self._next(script, snapshot.accounts[name])) is not None]
        for one in young if proven else sorted(young, key=lambda one: one.mail_id)[:1]:
            self._let_run(one, script)
        if not young and not busy:
            self._offer(script, accounts, "")
            return False
        return True

    def _next(self, script: Script, account: Account) -> Held | None:
        """The oldest young one, by the rule by which mails are late; a clock that is off is compared with itself."""
        since = self._clock() - timedelta(minutes=account.max_age)
        by_reception = not self._clock_trusted()
        return self._healable.next(account.name, script.name, script.sha256, since, by_reception=by_reception)

    def _let_run(self, one: Held, script: Script) -> None:
        if self._healable.heal(one, script.name, script.sha256, self._clock()):
            log.info("healed", mail=one.mail_id, task=one.id, script=script.name, version=script.sha256[:12])
            self._problems.report(healed(one, script.name))  # solved when it is done

    def _offer(self, script: Script, accounts: list[str], failed: str) -> None:
        """Leave the rest to people: what is too old, or all when this version has failed too."""
        if count := self._healable.count(accounts, script.name, script.sha256):
            self._offered.add(script.name)
            self._problems.report(offered(script.name, count, failed))
        else:
            self._withdraw(script.name)

    def _withdraw(self, script: str) -> None:
        if script in self._offered:
            self._offered.discard(script)
            self._problems.clear(healable_key(script))


def _accounts(script: str, snapshot: Snapshot) -> list[str]:
    """The accounts that run a script."""
    return [
        name
        for name, account in snapshot.accounts.items()
        if account.methods.script and account.methods.script.file == script
    ]


def _proof(healed: list[Healed], script: Script) -> tuple[bool, Healed | None]:
    """Whether this version has ended well with one of the mails, and one with which it has not."""
    ended = [one for one in healed if one.script_sha256 == script.sha256]
    failed = [one for one in ended if one.state == "quarantined"]
    return any(one.state == "done" for one in ended), failed[0] if failed else None


def _busy(healed: list[Healed], *, proven: bool) -> set[str]:
    """Accounts of which one is under way. Until something is proven, one that waits for its next try counts, too."""
    return {
        one.account for one in healed if one.state == "running" or (one.state == "waiting" and (one.due or not proven))
    }
