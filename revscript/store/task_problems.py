"""Problems about tasks, compared with the tasks: a host may have died between a change and the word about it."""

from __future__ import annotations

from sqlalchemy import Integer, String, cast, func, literal, select

from revscript.store.database import Database
from revscript.store.ledger import TASK_COLUMNS, Task
from revscript.store.schema import problem, task, task_entry

PREFIX = "quarantine:"  # as in `quarantine_key`


def untold(database: Database) -> list[tuple[Task, str]]:
    """Tasks in quarantine of which no error tells, with the reason why they are there."""
    tells = (problem.c.key == literal(PREFIX) + cast(task.c.id, String)) & (problem.c.severity == "error")
    query = select(*TASK_COLUMNS, task.c.reason).outerjoin(problem, tells)
    query = query.where(task.c.state == "quarantined", problem.c.key.is_(None)).order_by(task.c.id)
    with database.read() as tx:
        return [(Task(*columns), reason) for *columns, reason in tx.execute(query).all()]


def settled(database: Database) -> list[str]:
    """Keys of Problems whose task is done, discarded or gone: nothing would ever clear them."""
    about = task.c.id == cast(func.substr(problem.c.key, len(PREFIX) + 1), Integer)
    over = task.c.id.is_(None) | task.c.state.in_(("done", "discarded"))
    query = select(problem.c.key).outerjoin(task, about).where(problem.c.key.startswith(PREFIX), over)
    with database.read() as tx:
        return list(tx.scalars(query))


def was_in_quarantine(database: Database, task_id: int) -> bool:
    """Whether a task was let run again after it had been given up."""
    query = select(task_entry.c.id).where(task_entry.c.task_id == task_id, task_entry.c.kind.in_(("rerun", "healed")))
    with database.read() as tx:
        return tx.scalar(query.limit(1)) is not None
