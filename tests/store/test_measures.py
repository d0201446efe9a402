"""The counting questions, against a store whose numbers are known."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from sqlalchemy import update

from revscript.config import Mailbox
from revscript.host import Stores
from revscript.model import Outcome
from revscript.store import measures
from revscript.store.ledger import RunRecord
from revscript.store.measures import Box, Flight, Tally
from revscript.store.schema import canary, mail, mailbox
from tests.instance import due
from tests.store.kit import MINUTE, NOW, listed, receive
from tests.store.retention_kit import add, an_act


def run_once(stores: Stores, mail_id: int, exit_: str = "done", *, done: bool = True) -> None:
    (task_id,) = stores.ledger.due_tasks(mail_id, due(NOW))
    claimed = stores.ledger.claim(task_id, NOW)
    assert claimed
    outcome = Outcome(by="script:onEMail.py", exit=exit_, cpu_ms=20)  # pyright: ignore[reportArgumentType]
    if not done:
        stores.ledger.record_failure(RunRecord(claimed, outcome, "0" * 64, NOW, 0), None)
        return
    with stores.database.write() as tx:
        stores.ledger.record_run(tx, RunRecord(claimed, outcome, "0" * 64, NOW, 0))
        stores.ledger.finish(tx, claimed, exit_, NOW)


def test_a_mailbox_that_was_never_watched_and_one_that_is(stores: Stores, box: int) -> None:
    key = Mailbox("imap", "mail.fuest.example", "einsatz", "INBOX")
    assert measures.boxes(stores.database) == {key: Box("", None, None, None, 0, "")}
    values = {"mode": "push", "last_ok_at": NOW, "next_poll_at": NOW + MINUTE, "mail_at": NOW - MINUTE}
    with stores.database.write() as tx:
        tx.execute(update(mailbox).where(mailbox.c.id == box).values(**values, read_by_others=3, error="x"))
    assert measures.boxes(stores.database)[key] == Box("push", NOW, NOW + MINUTE, NOW - MINUTE, 3, "x")


def test_what_waits(stores: Stores, box: int) -> None:
    ids = [receive(stores, box, listed(number))[0].mail_id for number in range(1, 5)]
    (other,) = receive(stores, box, listed(9), account="stab")
    with stores.database.write() as tx:
        tx.execute(update(mail).where(mail.c.id == ids[0]).values(received_at=NOW - timedelta(hours=5)))
        tx.execute(update(mail).where(mail.c.id == ids[2]).values(received_at=NOW - MINUTE))
    run_once(stores, ids[0], "failed", done=False)
    run_once(stores, ids[1])
    an_act(stores, None, "pending")
    an_act(stores, None, "sent")
    found = measures.standings(stores.database)
    assert found.unfinished == {("leitstelle", "received"): 3, ("stab", "received"): 1}
    assert found.oldest_work == {"leitstelle": NOW - MINUTE, "stab": NOW}  # the one in quarantine is no work
    assert found.quarantined == {"leitstelle": 1}
    assert found.acts == {"pending": 1, "sent": 1}
    assert found.oldest_pending == NOW
    assert measures.mails_by_state(stores.database) == {
        "leitstelle": {"received": 3, "done": 1},
        "stab": {"received": 1},
    }
    assert other.new


def test_unhandled_mails_of_a_time(stores: Stores, box: int) -> None:
    for number, word in ((1, "unhandled"), (2, "unhandled"), (3, "ignored")):
        run_once(stores, receive(stores, box, listed(number))[0].mail_id, word)
    with stores.database.write() as tx:
        tx.execute(update(mail).where(mail.c.id == 1).values(received_at=NOW - timedelta(days=2)))
    assert measures.unhandled(stores.database, NOW - timedelta(days=1)) == {"leitstelle": 1}


def test_only_what_is_new_is_counted_and_once(stores: Stores, box: int) -> None:
    run_once(stores, receive(stores, box, listed(1))[0].mail_id)
    tally = Tally(stores.database)
    first = tally.look()
    assert (first.mails, first.runs, tally.mails) == (Counter(), [], Counter(leitstelle=1))
    run_once(stores, receive(stores, box, listed(2))[0].mail_id, "unhandled")
    receive(stores, box, listed(3), account="stab")
    second = tally.look()
    assert (second.mails, second.runs) == (Counter(leitstelle=1, stab=1), [("unhandled", True, 0.02)])
    third = tally.look()
    assert (third.mails, third.runs) == (Counter(), [])
    assert tally.mails == Counter(leitstelle=2, stab=1)


def test_the_last_canary_that_came_back(stores: Stores) -> None:
    for number, seen in enumerate((NOW + MINUTE, NOW + 3 * MINUTE, None)):
        sent = NOW + number * MINUTE
        add(stores, canary, account="post", message_id=f"c{number}", sent_at=sent, seen_at=seen)
    assert measures.flights(stores.database, ["post", "stab"]) == {"post": Flight(NOW + MINUTE, NOW + 3 * MINUTE)}
