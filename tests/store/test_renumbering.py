"""A server that has renumbered its folder (UIDVALIDITY): the mails that lay there are known by their content."""

from __future__ import annotations

from revscript.host import Stores
from revscript.store.schema import mail, task
from tests.store.kit import NOW, count, listed, mailbox, receive, rows


def test_the_first_epoch_renumbers_nothing(stores: Stores) -> None:
    box = stores.intake.mailbox_id("imap", "mail.fuest.example", "einsatz", "INBOX")
    assert not stores.intake.begin_epoch(box, "1", 500)
    assert not stores.intake.begin_epoch(box, "1", 600)
    receive(stores, box, listed(7))
    assert receive(stores, box, listed(8))[0].new


def test_known_mails_are_recognised_and_new_ones_are_not(stores: Stores, box: int) -> None:
    old = receive(stores, box, listed(7), listed(8))
    assert stores.intake.begin_epoch(box, "2", 500)
    assert not stores.intake.begin_epoch(box, "2", 900)

    listing = [listed(key, epoch="2") for key in (301, 302, 303, 499, 500, 501)]
    assert stores.intake.unknown(box, listing) == listing
    receipts = receive(stores, box, *listing)

    # a multiset: two lay there, so two of the identical ones below 500 are old; above, all are new
    assert [receipt.new for receipt in receipts] == [False, False, True, True, True, True]
    assert {receipt.mail_id for receipt in receipts[:2]} == {receipt.mail_id for receipt in old}
    assert count(stores, mail) == count(stores, task) == 6
    assert [row.possible_duplicate_of for row in rows(stores, mail)] == [None, *[old[0].mail_id] * 5]
    assert stores.intake.unknown(box, listing) == []


def test_other_content_below_the_line_is_new(stores: Stores, box: int) -> None:
    """Somebody moved it into the folder between the last look and the renumbering."""
    receive(stores, box, listed(7))
    stores.intake.begin_epoch(box, "2", 500)
    (receipt,) = receive(stores, box, listed(7, epoch="2"), raw=b"Subject: another\r\n\r\n")
    assert receipt.new


def test_size_and_date_may_have_changed(stores: Stores, box: int) -> None:
    (old,) = receive(stores, box, listed(7))
    stores.intake.begin_epoch(box, "2", 500)
    moved = listed(301, epoch="2", size=51, date="2026-03-02T00:00")
    (receipt,) = receive(stores, box, moved)
    assert (receipt.mail_id, receipt.new) == (old.mail_id, False)
    row = rows(stores, mail)[0]
    assert (row.epoch, row.server_key, row.server_size, row.server_date) == ("2", "301", 51, "2026-03-02T00:00")


def test_a_settled_mail_that_lies_there_again_is_settled_again(stores: Stores, box: int) -> None:
    (old,) = receive(stores, box, listed(7), methods=())
    stores.intake.settled([old.mail_id], "seen", NOW)
    stores.intake.begin_epoch(box, "2", 500)
    assert stores.intake.finished(box, 10) == []
    receive(stores, box, listed(301, epoch="2"), methods=())
    (finished,) = stores.intake.finished(box, 10)
    assert (finished.mail_id, finished.listed) == (old.mail_id, listed(301, epoch="2"))


def test_a_mail_under_work_keeps_its_tasks(stores: Stores, box: int) -> None:
    (old,) = receive(stores, box, listed(7), methods=("script", "document"))
    claimed = stores.ledger.claim(rows(stores, task)[0].id, NOW)
    stores.intake.begin_epoch(box, "2", 500)
    receive(stores, box, listed(301, epoch="2"), methods=("script", "document"))
    assert claimed
    assert [(row.mail_id, row.state) for row in rows(stores, task)] == [
        (old.mail_id, "running"),
        (old.mail_id, "waiting"),
    ]


def test_a_second_renumbering(stores: Stores, box: int) -> None:
    (old,) = receive(stores, box, listed(7))
    stores.intake.begin_epoch(box, "2", 500)
    receive(stores, box, listed(301, epoch="2"))
    assert stores.intake.begin_epoch(box, "3", 20)
    below, above = receive(stores, box, listed(19, epoch="3"), listed(20, epoch="3"))
    assert (below.mail_id, below.new, above.new) == (old.mail_id, False, True)


def test_the_neighbours_mails_are_not_compared(stores: Stores, box: int) -> None:
    other = mailbox(stores, "leitung")
    receive(stores, other, listed(7))
    stores.intake.begin_epoch(box, "2", 500)
    assert receive(stores, box, listed(301, epoch="2"))[0].new
