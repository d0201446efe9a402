"""What `revscript quarantine rerun` and `discard` do, and what they print of it."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Sequence
from typing import Any

import typer

from revscript.cli.output import complain, emit, say
from revscript.cli.status import running_host
from revscript.cli.versions import Versions
from revscript.errors import RevscriptError
from revscript.host import Stores
from revscript.model import wall_clock
from revscript.snapshot import Instance
from revscript.store.quarantine import Held, Quarantine, Which

Row = dict[str, Any]

STEP = 200  # tasks in one transaction: 20,000 at once would keep a host from writing for seconds


def me() -> str:
    """Who works at the command line, as entries name it."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):  # a user id without a name
        return f"cli:{os.getuid()}"


class Work:
    """A person's work on tasks."""

    def __init__(self, instance: Instance, stores: Stores, *, as_json: bool) -> None:
        self.quarantine = Quarantine(stores.database)
        self._instance = instance
        self._stores = stores
        self._as_json = as_json
        self._versions = Versions(instance)
        self._known: dict[str | None, bool | None] = {}  # version → whether the file has changed since

    def rerun(self, held: Sequence[Held], *, new_script: bool | None, why: str) -> None:
        """Tasks in quarantine run again."""
        by, now = me(), wall_clock()

        def again(some: Sequence[Held]) -> list[Held]:
            return self.quarantine.rerun(some, same=not new_script, by=by, why=why, now=now)

        done = _in_steps(held, again, lambda some: self._tell_reruns(some, "rerun", new_script))
        self._tell_of_versions(done, new_script)
        self._tell_of_the_host()

    def discard(self, held: Sequence[Held], why: str) -> None:
        """Tasks in quarantine are given up."""
        by, now = me(), wall_clock()

        def give_up(some: Sequence[Held]) -> list[Held]:
            return self.quarantine.discard(some, by=by, why=why, now=now)

        _in_steps(held, give_up, self._tell_discarded)
        self._tell_of_the_host()

    def repeat(self, which: Which, *, new_script: bool | None, why: str, force: bool) -> None:
        """Tasks that are done already: shown what would be done again, and only with `force` done again."""
        done = self._finished(which)
        if not force:
            self._tell_what_would_repeat(done)
            raise typer.Exit(1)
        now = wall_clock()
        again = self.quarantine.repeat(done, same=not new_script, by=me(), why=why, now=now)
        self._tell_reruns(again, "repeated", new_script)
        self._tell_of_versions(again, new_script)
        self._tell_of_the_host()

    def _finished(self, which: Which) -> list[Held]:
        found = self.quarantine.tasks(which)
        if not found:
            known = which.mail_id is not None and self.quarantine.knows_mail(which.mail_id)
            what = f"Mail {which.mail_id} has no such task." if known else f"There is no mail {which.mail_id}."
            raise RevscriptError(what, hint="See `revscript show mails`.")
        if open_ := [f"{one.method} is {one.state}" for one in found if one.state in ("waiting", "running")]:
            raise RevscriptError(
                f"Mail {which.mail_id} is still being worked: {', '.join(open_)}. Nothing was done.",
                hint=f"See `revscript show mails {which.mail_id}`.",
            )
        if purged := found[0].purged_at:
            raise RevscriptError(
                f"Mail {which.mail_id} was removed on {purged:%Y-%m-%d} (retention): it cannot run again."
            )
        return found

    # ------------------------------------------------------------ telling

    def _tell_reruns(self, again: Sequence[Held], done: str, new_script: bool | None) -> None:
        for one in again:
            changed = self._changed(one)
            sha256 = None if new_script else one.script_sha256
            row = {"mail": one.mail_id, "account": one.account, "method": one.method, "done": done}
            row |= {"script": one.script, "script_sha256": sha256, "changed": changed}
            if self._as_json:
                emit(row)
            else:
                what = "is repeated" if done == "repeated" else "runs again"
                say(f"mail {one.mail_id}, {one.method}: {what}{_version(one, sha256)}")

    def _tell_discarded(self, discarded: Sequence[Held]) -> None:
        for one in discarded:
            row = {"mail": one.mail_id, "account": one.account, "method": one.method, "done": "discarded"}
            if self._as_json:
                emit(row)
            else:
                say(f"mail {one.mail_id}, {one.method}: discarded")

    def _tell_of_versions(self, again: Sequence[Held], new_script: bool | None) -> None:
        if new_script is None and not self._as_json and any(self._changed(one) for one in again):
            say(
                "The script has changed since then. These tasks take the version that failed; "
                "to take the present one, use --new-script.",
                "yellow",
            )

    def _changed(self, one: Held) -> bool | None:
        sha256 = one.script_sha256
        if sha256 not in self._known:  # thousands of tasks may have failed by one version
            recorded = self._stores.ledger.script(sha256) if sha256 else None
            self._known[sha256] = self._versions.has_changed(recorded) if recorded else None
        return self._known[sha256]

    def _tell_what_would_repeat(self, done: Sequence[Held]) -> None:
        carried = self.quarantine.carried_out(done)
        methods = {one.id: one.method for one in done}
        if self._as_json:
            for one in carried:
                row = {"mail": done[0].mail_id, "method": methods[one.task_id], "would": one.words}
                emit(row | {"target": one.target, "leaves": one.target.startswith("act:")})
            return
        say(f"Mail {done[0].mail_id} is done. These things would be done once more:", "bold")
        for one in carried:
            goes_out = "  ← goes out again" if one.target.startswith("act:") else ""
            say(f"{methods[one.task_id]}: {one.words}{goes_out}", indent=2)
        if not carried:
            say("nothing: no effect of it is recorded", indent=2)
        for one in done:
            if one.state == "discarded":
                say(f"{one.method} was discarded: {one.reason}", indent=2)
        say("Nothing was done. To repeat all of it, use --force.", "yellow")

    def _tell_of_the_host(self) -> None:
        if not self._as_json and running_host(self._instance) is None:
            say("No host runs now: it is taken up when one is started.", "yellow")


def _in_steps(
    held: Sequence[Held], change: Callable[[Sequence[Held]], list[Held]], tell: Callable[[Sequence[Held]], None]
) -> list[Held]:
    """Change tasks step by step, each a transaction of its own, and tell of each step → those that were changed.

    What ends it in between (Ctrl-C, a full disk) leaves whole steps, and it is said how far it got.
    """
    done: list[Held] = []
    try:
        for start in range(0, len(held), STEP):
            changed = change(held[start : start + STEP])
            done += changed
            tell(changed)
    except BaseException:
        if len(held) > STEP:
            complain(f"Ended after {len(done)} of {len(held)} tasks; `revscript quarantine list` shows what is left.")
        raise
    return done


def _version(one: Held, sha256: str | None) -> str:
    if one.method != "script":
        return ""
    return f" with {one.script}, version {sha256[:12]}" if sha256 else " with the script as it is now"
