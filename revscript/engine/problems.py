"""What the engine tells people, as problems."""

from __future__ import annotations

from datetime import datetime

from revscript.errors import JailBroken, StoreError
from revscript.model import Problem
from revscript.store.ledger import Task
from revscript.store.quarantine import Held, quarantine_key
from revscript.store.recovery import MOST_INTERRUPTIONS, Aside


def _of_task(task: Task, what: str, way_out: str, *, warning: bool = False) -> Problem:
    where = f"mail {task.mail_id} ({task.account})"
    return Problem(quarantine_key(task.id), where, what, way_out, "warning" if warning else "error")


def quarantined(task: Task, by: str, reason: str) -> Problem:
    """A mail whose task is not tried again."""
    way_out = f"The mail stays on its server untouched. See `revscript quarantine show {task.mail_id}`."
    return _of_task(task, f"{by}: {reason}", way_out)


def failing(task: Task, what: str, *, was_given_up: bool) -> Problem:
    """A mail whose task will be tried again: people can mend the script meanwhile.

    One that was in quarantine is an error until it is done.
    """
    way_out = f"It is tried again by itself; see `revscript show mails {task.mail_id}`."
    return _of_task(task, what, way_out, warning=not was_given_up)


def healed(task: Held, script: str) -> Problem:
    """A mail that leaves the quarantine by itself: it is not done yet."""
    return Problem(
        quarantine_key(task.id),
        f"mail {task.mail_id} ({task.account})",
        f"It was in quarantine, and runs again because {script} has changed.",
        f"Nothing, unless it stays so; see `revscript show mails {task.mail_id}`.",
    )


def stepped_aside(aside: Aside) -> Problem:
    """A mail at which the host has died again and again: it waits a little, so that others get through."""
    task = aside.task
    what = f"The host died {aside.interruptions} times while it worked on this mail ({task.method})."
    again = f"{aside.until:%H:%M:%S} UTC"
    way_out = (
        f"Other mails go first; it is tried again at {again}, and set aside after {MOST_INTERRUPTIONS} times. "
        f"See the log for why the host died, and `revscript show mails {task.mail_id}`."
    )
    return _of_task(task, what, way_out, warning=True)


def offered(script: str, count: int, failed: str) -> Problem:
    """Mails that an older version of a script has left in quarantine, and that do not run again by themselves."""
    which = "1 mail" if count == 1 else f"{count} mails"
    fate = "waits" if count == 1 else "wait"
    what = f"{which} in quarantine on which an older version of this script failed {fate}: "
    what += failed or "older than the max_age of the account, so not run again without a person"
    return Problem(
        healable_key(script),
        f"user_scripts/{script}",
        what + ".",
        f"`revscript quarantine rerun --script {script} --new-script` runs them with the present version; "
        "alarms of late mails are downgraded.",
        "warning",
    )


def healable_key(script: str) -> str:
    """The key of the problem that offers a script's mails."""
    return f"healable:{script}"


def still_failing(mail_id: int, reason: str) -> str:
    """Why the others stay where they are."""
    return f"the present version has failed again, on mail {mail_id} ({reason})"


def store_problem(error: StoreError) -> Problem:
    """The database cannot be used."""
    return Problem("store", "database", str(error), error.hint or "Check disk space and permissions.")


def broken(error: Exception) -> Problem:
    """Why the engine cannot work now."""
    if isinstance(error, StoreError):
        return store_problem(error)
    if isinstance(error, JailBroken):
        return Problem("jail", "jail", str(error), "Mails wait until scripts can be confined again; see the log.")
    return Problem("engine", "engine", f"{type(error).__name__}: {error}", "This is a fault of revscript: see the log.")


def orphaned(account: str) -> Problem:
    """Mails of an account that is not configured any more."""
    return Problem(
        f"orphaned:{account}",
        f"accounts/{account}.json",
        f"Mails of the account {account!r} wait, but its file is gone or broken.",
        "Put the file back; the mails then run by themselves.",
    )


def later(moment: datetime | None) -> str | None:
    """A time for the log."""
    return None if moment is None else moment.isoformat()
