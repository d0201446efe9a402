"""Receiving: which mails are new, and what the server is told afterwards."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest

from revscript.errors import StoreError
from revscript.host import Stores
from revscript.model import AT_ONCE, METHODS, ServerMail
from revscript.store.intake import Incoming
from revscript.store.schema import blob, mail, mailbox, task
from tests.store.kit import MINUTE, NOW, RAW, count, listed, receive, rows


def done(stores: Stores, *mail_ids: int) -> None:
    """All tasks of these mails are done."""
    for row in rows(stores, task):
        claimed = stores.ledger.claim(row.id, NOW) if row.mail_id in mail_ids else None
        if claimed:
            with stores.database.write() as tx:
                stores.ledger.finish(tx, claimed, "done", NOW)


def finished(stores: Stores, box: int) -> list[ServerMail]:
    return [one.listed for one in stores.intake.finished(box, 100)]


def again(stores: Stores, box: int, *mails: ServerMail) -> int:
    return stores.intake.unsettled_again(box, mails)


def test_a_mailbox_is_protocol_host_user_and_folder(stores: Stores) -> None:
    names = [
        ("imap", "mail.fuest.example", "einsatz", "INBOX"),
        ("pop3", "mail.fuest.example", "einsatz", ""),
        ("imap", "mail.thw.example", "einsatz", "INBOX"),
        ("imap", "mail.fuest.example", "leitung", "INBOX"),
        ("imap", "mail.fuest.example", "einsatz", "Alarm"),
    ]
    first = [stores.intake.mailbox_id(*name) for name in names]
    assert len(set(first)) == 5
    assert [stores.intake.mailbox_id(*name) for name in names] == first
    assert stores.intake.mailbox_id("imap", "Mail.Fuest.EXAMPLE", "einsatz", "INBOX") == first[0]


def test_a_mail_gets_one_task_per_method(stores: Stores, box: int) -> None:
    (receipt,) = receive(stores, box, listed(7), methods=METHODS)
    (row,) = rows(stores, mail)
    assert receipt.new
    assert (row.id, row.account, row.server_key, row.size, row.state) == (
        receipt.mail_id,
        "leitstelle",
        "7",
        49,
        "received",
    )
    assert (row.settle, row.cut, row.possible_duplicate_of, row.received_at) == ("waiting", False, None, NOW)
    assert [one.method for one in rows(stores, task)] == list(METHODS)
    assert {(one.state, one.attempts, one.not_before) for one in rows(stores, task)} == {("waiting", 0, AT_ONCE)}
    assert stores.blobs.content(row.blob_id) == RAW


def test_without_methods_a_mail_is_done_at_once(stores: Stores, box: int) -> None:
    receive(stores, box, listed(7), methods=())
    assert rows(stores, mail)[0].state == "done"
    assert finished(stores, box) == [listed(7)]


@pytest.mark.parametrize("change", [{"size": 50}, {"date": "2026-03-01T12:01"}, {"key": "8"}, {"epoch": "2"}])
def test_what_differs_in_key_epoch_size_or_date_is_another_mail(
    stores: Stores, box: int, change: dict[str, str]
) -> None:
    known, other = listed(7), dataclasses.replace(listed(7), **change)
    receive(stores, box, known)
    assert stores.intake.unknown(box, [known, other]) == [other]
    assert [receipt.new for receipt in receive(stores, box, other)] == [True]
    assert count(stores, mail) == count(stores, task) == 2


def test_two_identical_mails_are_two_mails(stores: Stores, box: int) -> None:
    first, second = receive(stores, box, listed(7), listed(8))
    third = receive(stores, box, listed(9))[0]
    assert len({first.mail_id, second.mail_id, third.mail_id}) == 3
    assert count(stores, task) == 3
    assert count(stores, blob) == 1
    assert [row.possible_duplicate_of for row in rows(stores, mail)] == [None, first.mail_id, first.mail_id]


def test_another_mailbox_knows_nothing_of_it(stores: Stores, box: int) -> None:
    other = stores.intake.mailbox_id("imap", "mail.fuest.example", "leitung", "INBOX")
    (first,) = receive(stores, box, listed(7))
    assert stores.intake.unknown(other, [listed(7)]) == [listed(7)]
    assert receive(stores, other, listed(7))[0].new
    assert [row.possible_duplicate_of for row in rows(stores, mail)] == [None, first.mail_id]


def test_the_same_listing_twice_brings_nothing_new(stores: Stores, box: int) -> None:
    listing = [listed(key) for key in range(1, 1202)]  # more than one query takes
    first = receive(stores, box, *listing[:600])
    assert stores.intake.unknown(box, listing) == listing[600:]
    assert [receipt.mail_id for receipt in first] == list(range(1, 601))
    assert stores.intake.unknown(box, listing[:600]) == []


def test_a_mail_received_twice_is_one(stores: Stores, box: int) -> None:
    """A server that lists it twice, or two looks that cross: the batch is not lost over it."""
    first = receive(stores, box, listed(7), listed(7), listed(8))
    again = receive(stores, box, listed(8), listed(9))
    assert [receipt.new for receipt in first + again] == [True, False, True, False, True]
    assert first[0].mail_id == first[1].mail_id
    assert first[2].mail_id == again[0].mail_id
    assert count(stores, mail) == count(stores, task) == 3


def test_a_batch_is_received_as_a_whole_or_not_at_all(stores: Stores, box: int) -> None:
    good = Incoming(listed(7), stores.blobs.stage([RAW]))
    bad = Incoming(dataclasses.replace(listed(8), date=None), stores.blobs.stage([b"x"]))  # pyright: ignore[reportArgumentType]
    with pytest.raises(StoreError):
        stores.intake.receive(box, "leitstelle", [good, bad], ["script"], "0" * 64, NOW)
    assert (count(stores, mail), count(stores, task), count(stores, blob)) == (0, 0, 0)


# ---------------------------------------------------------------- settling


def test_the_server_is_told_when_all_tasks_are_done(stores: Stores, box: int) -> None:
    first, second = receive(stores, box, listed(7), listed(8), methods=("script", "document"))
    assert finished(stores, box) == []
    done(stores, second.mail_id)
    assert finished(stores, box) == [listed(8)]
    done(stores, first.mail_id)
    assert finished(stores, box) == [listed(7), listed(8)]
    assert [one.mail_id for one in stores.intake.finished(box, 1)] == [first.mail_id]


def test_what_was_told_is_not_told_again(stores: Stores, box: int) -> None:
    receipts = receive(stores, box, listed(7), listed(8), methods=())
    stores.intake.settled([receipts[0].mail_id], "seen", NOW + MINUTE)
    assert finished(stores, box) == [listed(8)]
    row = rows(stores, mail)[0]
    assert (row.settle, row.settled_by, row.settled_at) == ("settled", "seen", NOW + MINUTE)


def test_a_cut_mail_is_marked(stores: Stores, box: int) -> None:
    receive(stores, box, listed(7), methods=(), cut=True)
    assert [one.cut for one in stores.intake.finished(box, 100)] == [True]


@pytest.mark.parametrize(
    ("by", "settled_again"),
    [("delete", 1), ("move:Erledigt", 1), ("seen", 0), ("none", 0)],
)
def test_a_deleted_mail_that_is_still_there_is_settled_again(
    stores: Stores, box: int, by: str, settled_again: int
) -> None:
    (receipt,) = receive(stores, box, listed(7), methods=())
    stores.intake.settled([receipt.mail_id], by, NOW)
    assert again(stores, box, listed(8)) == 0
    assert again(stores, box, listed(7)) == settled_again
    assert finished(stores, box) == [listed(7)] * settled_again


def test_a_mail_that_waits_for_settling_is_not_counted_again(stores: Stores, box: int) -> None:
    receive(stores, box, listed(7), methods=())
    assert again(stores, box, listed(7)) == 0


def test_a_same_key_of_an_earlier_epoch_means_nothing(stores: Stores, box: int) -> None:
    (receipt,) = receive(stores, box, listed(7), methods=())
    stores.intake.settled([receipt.mail_id], "delete", NOW)
    stores.intake.begin_epoch(box, "2", 100)
    assert again(stores, box, listed(7, epoch="2")) == 0
    assert finished(stores, box) == []


# ---------------------------------------------------------------- health


def test_a_round_trip_that_succeeded_is_the_proof(stores: Stores, box: int) -> None:
    def health() -> Sequence[object]:
        row = rows(stores, mailbox)[0]
        return row.error, row.last_ok_at, row.next_poll_at

    stores.intake.failed(box, "no answer", NOW + MINUTE)
    assert health() == ("no answer", None, NOW + MINUTE)
    stores.intake.proved(box, NOW, NOW + 2 * MINUTE)
    assert health() == ("", NOW, NOW + 2 * MINUTE)
    stores.intake.failed(box, "no answer", NOW + 3 * MINUTE)
    assert health() == ("no answer", NOW, NOW + 3 * MINUTE)
