"""After a host's death: what it was working on is tried again; a task that it does not survive steps aside."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import select, update

from revscript.model import AT_ONCE
from revscript.store.database import Database
from revscript.store.ledger import TASK_COLUMNS, Task, add_entry
from revscript.store.schema import task

MOST_INTERRUPTIONS = 8  # host deaths during tries of one task, before a person must look at it

# s that a task steps aside after so many host deaths: the first two may be anybody's, so that an alarm does not wait.
ASIDE = (0, 0, 5, 10, 30, 60, 120)
# s between tasks that step aside together: each runs alone, so that the innocent get through before the next death
ASIDE_APART = 3
MOST_ASIDE = 20  # tasks that are kept apart so; beyond that they share the last place

INTERRUPTED = f"the host died {MOST_INTERRUPTIONS} times while it worked on this mail"


class Aside(NamedTuple):
    """A task whose tries the host did not survive: it waits until `until`."""

    task: Task
    interruptions: int
    until: datetime


class Recovered(NamedTuple):
    """What a start found of the last run: tasks that wait again, those of them that step aside, and set aside ones."""

    waiting: int
    aside: list[Aside]
    poisoned: list[Task]


def recover(database: Database, now: datetime) -> Recovered:
    """After a start: tasks that the last run of this instance left behind wait again.

    An interrupted try is no failed one. A task whose tries the host did not survive again and again steps aside,
    longer each time, and in the end waits for a person.
    """
    query = select(*TASK_COLUMNS, task.c.interruptions).where(
        task.c.state == "running", task.c.owner == database.instance_id
    )
    found = Recovered(0, [], [])
    with database.write() as tx:
        for *columns, before in tx.execute(query.order_by(task.c.id)).all():
            one, deaths = Task(*columns), before + 1
            until = _step_aside(deaths, len(found.aside), now)
            if deaths >= MOST_INTERRUPTIONS:
                found.poisoned.append(one)
                values: dict[str, Any] = {"state": "quarantined", "reason": INTERRUPTED, "finished_at": now}
            else:
                values = {"state": "waiting", "not_before": until or AT_ONCE}
                found = found._replace(waiting=found.waiting + 1)
                if until is not None:
                    found.aside.append(Aside(one, deaths, until))
                    add_entry(tx, one.id, "stepped_aside", "host", now, f"host deaths: {deaths}")
            counts = {"interruptions": deaths, "attempts": task.c.attempts - 1}
            free = {"owner": None, "lease_until": None}
            tx.execute(update(task).where(task.c.id == one.id).values(**values, **counts, **free))
    return found


def _step_aside(deaths: int, place: int, now: datetime) -> datetime | None:
    """Until when a task waits after so many host deaths, as the `place`-th of those that do; None: not at all."""
    pause = ASIDE[min(deaths, len(ASIDE)) - 1]
    return now + timedelta(seconds=pause + ASIDE_APART * min(place, MOST_ASIDE)) if pause else None
