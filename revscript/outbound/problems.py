"""What the courier tells people, as problems."""

from __future__ import annotations

from typing import NamedTuple

from revscript.model import Problem
from revscript.outbound.delivery import Delivery
from revscript.store.outbox import Act
from revscript.store.undelivered import act_key


class Failed(NamedTuple):
    """The try that a lane's problem tells of."""

    act_id: int
    error: str
    way_out: str


def delayed_lane(lane: str, failed: Failed, *, overdue: bool) -> Problem:
    """Mail waits: a warning at first, an error when it does for too long."""
    return Problem(
        f"lane:{lane}",
        lane,
        f"Mail cannot be sent now: {failed.error}",
        f"{failed.way_out} and so on; see `revscript show outbox`.",
        "error" if overdue else "warning",
    )


def given_up(act: Act, error: str, *, outside: bool) -> Problem:
    """A mail that will not be delivered; a warning when it is nobody's fault but the `outside`'s."""
    return Problem(
        act_key(act.id),
        _where(act),
        f"A mail was not delivered and will not be tried again: {error}",
        _ways_out(act, "sends it after all"),
        "warning" if outside else "error",
    )


def partly_refused(act: Act, delivery: Delivery) -> Problem:
    """Some have got the mail, others never will."""
    return Problem(
        act_key(act.id),
        _where(act),
        f"Some recipients were refused: {answers(delivery.refused)}",
        f"Check these addresses; the others have got the mail. {_ways_out(act, 'tries them again')}",
        "warning",
    )


def fault(where: str, error: Exception) -> Problem:
    """A fault of ours in a lane."""
    return Problem(f"lane:{where}", where, f"{type(error).__name__}: {error}", "A fault of revscript: see the log.")


def answers(said: dict[str, str]) -> str:
    """What a server said of recipients, on one line."""
    return "; ".join(f"{address}: {text}" for address, text in said.items())


def _where(act: Act) -> str:
    return f"outbox no. {act.id} ({act.lane})"


def _ways_out(act: Act, retry: str) -> str:
    return f"`revscript outbox retry {act.id}` {retry}, `revscript outbox discard {act.id} --why TEXT` ends it."
