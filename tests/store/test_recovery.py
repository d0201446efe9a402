"""Host deaths: the innocent get through beside what kills the host."""

from __future__ import annotations

from datetime import datetime

from revscript.host import Stores
from revscript.store.recovery import MOST_INTERRUPTIONS, recover
from revscript.store.schema import task
from tests.instance import due
from tests.store.kit import NOW, listed, mailbox, receive, rows


def live(stores: Stores, guilty: set[int], now: datetime) -> None:
    """A host begins all that is due, in all accounts at once, and dies of the guilty ones, if any are among it."""
    begun = [
        claimed
        for mail_id in range(1, len(rows(stores, task)) + 1)
        for one in stores.ledger.due_tasks(mail_id, due(now))
        if (claimed := stores.ledger.claim(one, now)) is not None
    ]
    if any(one.id in guilty for one in begun):
        recover(stores.database, now)
        return
    with stores.database.write() as tx:
        for one in begun:
            stores.ledger.finish(tx, one, "done", now)


def test_the_innocent_get_through(stores: Stores) -> None:
    for user in "abcde":
        receive(stores, mailbox(stores, user), listed(1), account=user)
    now, guilty = NOW, {1, 4}
    for _ in range(40):
        live(stores, guilty, now)
        now = stores.ledger.next_due(now) or now
    assert [row.state for row in rows(stores, task)] == ["quarantined", "done", "done", "quarantined", "done"]
    assert [row.interruptions for row in rows(stores, task, state="quarantined")] == [MOST_INTERRUPTIONS] * 2
    assert max(row.interruptions for row in rows(stores, task, state="done")) <= 3
