"""Retention: what somebody needs stays whole, all else goes, and no moment in between is inconsistent."""

from __future__ import annotations

import random
import threading
import time
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from revscript.errors import StoreError
from revscript.host import Stores
from revscript.store.blobs import BlobMissing
from revscript.store.canary import LABEL
from revscript.store.pulse import last_mail
from revscript.store.record_tables import folder_item, form_attachment, mail_label, notice
from revscript.store.retention import Purged, Retention
from revscript.store.schema import act, blob, blob_chunk, canary, mail, run, script_text, task
from tests.store.kit import NOW, count, listed, mailbox, opened, receive, rows
from tests.store.retention_kit import (
    LATER,
    REFERRERS,
    SECRET,
    Refer,
    a_name,
    a_notice,
    add,
    an_act,
    bool_false,
    bool_true,
    form_files_it,
    is_consistent,
    is_tombstone,
    is_whole,
    keep_blob,
    make_mail,
    purge,
    raw,
    raw_of,
    script,
    set_values,
)


@pytest.mark.parametrize("refer", REFERRERS)
def test_what_somebody_needs_stays_as_long_as_that(stores: Stores, box: int, refer: Refer) -> None:
    needed, free = make_mail(stores, box, 1), make_mail(stores, box, 2)
    refer(stores, needed)
    assert purge(stores).mails == [free]
    assert is_whole(stores, needed, 1)
    assert is_tombstone(stores, free, 2)
    assert is_consistent(stores)


@pytest.mark.parametrize("seed", range(6))
def test_any_mixture_of_referrers(stores: Stores, box: int, seed: int) -> None:
    dice = random.Random(seed)
    mails = {make_mail(stores, box, number): number for number in range(1, 25)}
    needed = {mail_id: dice.sample(REFERRERS, dice.choice((0, 0, 1, 2, 4))) for mail_id in mails}
    for mail_id, referrers in needed.items():
        for refer in referrers:
            refer(stores, mail_id)
    done = purge(stores)
    assert done.mails == [mail_id for mail_id in mails if not needed[mail_id]]
    for mail_id, number in mails.items():
        assert (is_whole if needed[mail_id] else is_tombstone)(stores, mail_id, number)
    assert is_consistent(stores)
    assert all(f"attachment of {row.mail_id}".encode() == content for row, content in attachments(stores))
    assert not purge(stores).mails


def attachments(stores: Stores) -> list[tuple[Any, bytes]]:
    return [(row, stores.blobs.content(row.blob_id)) for row in rows(stores, form_attachment)]


def test_nothing_of_the_mail_is_left_anywhere_in_the_database(stores: Stores, box: int) -> None:
    for number in range(1, 7):
        a_notice(stores, make_mail(stores, box, number), f"notice {number}")
    an_act(stores, None, "sent", b"fax")
    an_act(stores, None, "dead")
    done = purge(stores)
    assert (len(done.mails), done.acts, done.notices, done.scripts) == (6, 2, 6, 1)
    assert done.blobs == 6 + 6 + 1
    assert done.bytes >= sum(len(raw(number)) for number in range(1, 7))
    assert count(stores, blob) == 1  # the empty one
    assert count(stores, blob_chunk) == 0
    with stores.database.read() as tx:
        tables = list(tx.scalars(text("SELECT name FROM sqlite_master WHERE type = 'table'")))
        found = [
            name for name in tables if any(SECRET in str(row) for row in tx.execute(text(f"SELECT * FROM {name}")))
        ]
    assert found == []


def test_the_file_shrinks_in_use(stores: Stores, box: int) -> None:
    """What is freed is used again: the same mails a second time need no more room."""
    for number in range(1, 13):
        make_mail(stores, box, number)
    purge(stores)
    with stores.database.read() as tx:
        free, pages = tx.scalar(text("PRAGMA freelist_count")) or 0, tx.scalar(text("PRAGMA page_count")) or 0
    assert free > 0.8 * pages


# ---------------------------------------------------------------- the mail that still lies on the server


def test_a_purged_mail_is_not_received_again(stores: Stores, box: int) -> None:
    mail_id = make_mail(stores, box, 4)
    purge(stores)
    on_server = listed(4, size=len(raw(4)))
    assert stores.intake.unknown(box, [on_server]) == []
    (receipt,) = receive(stores, box, on_server, raw=raw(4))
    assert (receipt.mail_id, receipt.new) == (mail_id, False)
    assert is_tombstone(stores, mail_id, 4)


def test_a_purged_mail_is_recognised_after_a_renumbering(stores: Stores, box: int) -> None:
    mail_id = make_mail(stores, box, 4)
    purge(stores)
    stores.intake.begin_epoch(box, "2", 100)
    (receipt,) = receive(stores, box, listed(9, epoch="2", size=len(raw(4))), raw=raw(4))
    assert (receipt.mail_id, receipt.new) == (mail_id, False)
    assert [one.mail_id for one in stores.intake.finished(box, 10)] == [mail_id]  # the server is told once more
    assert raw_of(stores, mail_id) == b""


def test_a_mail_of_an_older_numbering_need_not_be_settled(stores: Stores, box: int) -> None:
    """Nobody can settle it; when it lies there still, it is recognised, and then settled."""
    mail_id = make_mail(stores, box, 4)
    set_values(stores, mail, mail.c.id == mail_id, settle="waiting", settled_at=None)
    assert purge(stores).mails == []
    stores.intake.begin_epoch(box, "2", 50)
    assert stores.intake.finished(box, 10) == []
    assert purge(stores).mails == [mail_id]
    (receipt,) = receive(stores, box, listed(9, epoch="2", size=len(raw(4))), raw=raw(4))
    assert (receipt.mail_id, receipt.new) == (mail_id, False)
    assert [one.mail_id for one in stores.intake.finished(box, 10)] == [mail_id]


def test_the_same_bytes_as_a_purged_mail_are_a_new_mail(stores: Stores, box: int) -> None:
    """And its content is stored anew, whole."""
    first = make_mail(stores, box, 5)
    purge(stores)
    (receipt,) = receive(stores, box, listed(6, size=len(raw(5))), raw=raw(5))
    assert receipt.new
    assert raw_of(stores, receipt.mail_id) == raw(5)
    assert rows(stores, mail, id=receipt.mail_id)[0].possible_duplicate_of == first


# ---------------------------------------------------------------- acts, scripts, shared content


def test_acts_keep_their_content_until_they_are_old(stores: Stores) -> None:
    pending, young = an_act(stores, None, "pending", b"p"), an_act(stores, None, "sent", b"y")
    set_values(stores, act, act.c.id == young, finished_at=LATER - timedelta(days=1))
    old = an_act(stores, None, "sent", b"o")
    assert purge(stores).acts == 1
    kept = {row.id: row.payload for row in rows(stores, act)}
    assert kept[old] == {}
    for act_id, data in ((pending, b"p"), (young, b"y")):
        assert stores.blobs.content(kept[act_id]["attachments"][0]["blob_id"]) == data
    assert rows(stores, act, id=old)[0].receipt is None
    assert count(stores, blob) == 2


def test_notices_keep_their_text_until_they_are_old(stores: Stores, box: int) -> None:
    """By their last renewal, also where the mail itself is needed."""
    needed = make_mail(stores, box, 1)
    form_files_it(stores, needed)
    old, young = a_notice(stores, needed, "old"), a_notice(stores, needed, "young")
    set_values(stores, notice, notice.c.id == young, at=LATER - timedelta(days=1))
    assert purge(stores).notices == 1
    assert {row.id: bool(row.text) for row in rows(stores, notice)} == {old: False, young: True}
    assert purge(stores).notices == 0


def test_content_that_a_kept_row_shares_stays(stores: Stores, box: int) -> None:
    """The raw mail itself lies in a folder, by hand and without naming the mail."""
    mail_id = make_mail(stores, box, 4)
    shared = rows(stores, mail, id=mail_id)[0].blob_id
    names = a_name("m")
    add(stores, folder_item, mission_id=None, blob_id=shared, at=NOW, mail_id=None, **names)
    assert purge(stores).mails == [mail_id]
    assert stores.blobs.content(shared) == raw(4)
    assert raw_of(stores, mail_id) == b""


def test_script_texts_that_no_run_needs_go(stores: Stores, box: int) -> None:
    old, both, pinned = script("old.py"), script("both.py"), script("pinned.py")
    make_mail(stores, box, 1, old)
    make_mail(stores, box, 2, both)
    needed = make_mail(stores, box, 3, both)
    form_files_it(stores, needed)
    waiting = make_mail(stores, box, 4, pinned)
    set_values(stores, task, task.c.mail_id == waiting, state="quarantined", script_sha256=pinned.sha256)
    assert purge(stores).scripts == 1
    assert {row.sha256 for row in rows(stores, script_text)} == {both.sha256, pinned.sha256}
    assert is_consistent(stores)
    again = make_mail(stores, box, 5, old)  # it is still in force
    assert rows(stores, run, task_id=rows(stores, task, mail_id=again)[0].id)[0].script_sha256 == old.sha256


@pytest.mark.parametrize(("keep", "left"), [(1, ["young"]), (90, ["young"]), (200, ["old", "young"])])
def test_canaries_go_when_none_can_come_back_any_more(stores: Stores, keep: int, left: list[str]) -> None:
    for days, name in ((0, "old"), (60, "young")):
        add(stores, canary, account="post", message_id=name, sent_at=NOW + timedelta(days=days))
    Retention(stores.database, stores.blobs, bool_true, bool_false).purge(LATER, timedelta(days=keep))
    assert [row.message_id for row in rows(stores, canary)] == left


def test_a_purged_canary_is_no_mail_later(stores: Stores, box: int) -> None:
    real, flown = make_mail(stores, box, 1), make_mail(stores, box, 2)
    stores.ledger.ignore(flown, LABEL, NOW)
    assert purge(stores).mails == [real, flown]
    assert [(row.mail_id, row.text) for row in rows(stores, mail_label)] == [(flown, LABEL)]
    found = last_mail(stores.database, [box], 0, has_canary=True)
    assert found
    assert found[0] == real


# ---------------------------------------------------------------- when it must not, and what may happen meanwhile


def test_a_doubted_clock_deletes_nothing(stores: Stores, box: int) -> None:
    mail_id = make_mail(stores, box, 1)
    assert purge(stores, clock_confirmed=bool_false) == Purged()
    assert is_whole(stores, mail_id, 1)


def test_a_clock_that_is_doubted_meanwhile(stores: Stores, box: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("revscript.store.retention.BUDGET", 0.0)  # one mail a transaction
    for number in range(1, 6):
        make_mail(stores, box, number)
    answers = iter([True] * 3)
    assert purge(stores, clock_confirmed=lambda: next(answers, False)).mails == [1, 2]
    assert is_whole(stores, 3, 3)
    assert is_consistent(stores)


def test_somebody_needs_it_in_the_last_moment(stores: Stores, box: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between looking for candidates and the transaction that purges them."""
    needed, free = make_mail(stores, box, 1), make_mail(stores, box, 2)
    empty_blob = Retention._empty_blob

    def meanwhile(retention: Retention, now: datetime) -> int:
        form_files_it(stores, needed)
        return empty_blob(retention, now)

    monkeypatch.setattr(Retention, "_empty_blob", meanwhile)
    assert purge(stores).mails == [free]
    assert is_whole(stores, needed, 1)


def test_an_act_takes_content_up_in_the_last_moment(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """Acts name blobs in their payload, where no index helps."""
    free, wanted = keep_blob(stores, b"free"), keep_blob(stores, b"wanted")
    in_steps = Retention._in_small_steps

    def meanwhile(retention: Retention, items: list[Any], step: Any) -> None:
        if set(items) == {free, wanted}:
            an_act(stores, None, "pending", b"wanted")
        in_steps(retention, items, step)

    monkeypatch.setattr(Retention, "_in_small_steps", meanwhile)
    assert purge(stores).blobs == 1
    assert stores.blobs.content(wanted) == b"wanted"


def test_a_crash_between_any_two_transactions(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever was committed when it died: all is consistent, what is needed is whole, the next pass ends it."""
    steps = 0
    while True:
        with opened(tmp_path_factory.mktemp("crash")) as stores:
            box = mailbox(stores)
            mails = {make_mail(stores, box, number): number for number in range(1, 5)}
            form_files_it(stores, 1)
            an_act(stores, None, "sent", b"fax")
            finished = _dies_after(stores, steps)
            assert is_consistent(stores)
            assert is_whole(stores, 1, 1)
            purge(stores)
            assert all(is_tombstone(stores, mail_id, number) for mail_id, number in mails.items() if mail_id != 1)
            assert count(stores, blob) == 3  # the empty one, and the needed mail with its Reading
            assert is_consistent(stores)
        steps += 1
        if finished:
            break
    assert steps > 10


def _dies_after(stores: Stores, steps: int) -> bool:
    """Purge with one item a transaction, until that many are through → whether it came to its end."""
    left = iter(range(steps))

    class Death(BaseException):
        """The power is off."""

    def stopping() -> bool:
        if next(left, None) is None:
            raise Death
        return False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("revscript.store.retention.BUDGET", 0.0)
        patch.setattr("revscript.store.blobs.SWEEP_BATCH", 1)
        try:
            purge(stores, stopping=stopping)
        except Death:
            return False
    return True


def test_others_commit_between_its_steps(stores: Stores, box: int) -> None:
    for number in range(1, 40):
        make_mail(stores, box, number)
    waits: list[int] = []
    begun, over = threading.Event(), threading.Event()

    def receive_meanwhile() -> None:
        begun.wait()
        number = 1000
        while not over.is_set():
            receive(stores, box, listed(number), raw=f"alarm {number}".encode())
            waits.append(number)
            number += 1
            time.sleep(0)

    other = threading.Thread(target=receive_meanwhile)
    other.start()
    begun.set()
    try:
        done = purge(stores)
    finally:
        over.set()
        other.join()
    assert len(done.mails) == 39
    assert len(waits) >= 5  # it did not have to wait for the end
    assert all(raw_of(stores, row.id).startswith(b"alarm") for row in rows(stores, mail) if int(row.server_key) >= 1000)
    assert is_consistent(stores)


def test_a_reader_of_what_goes_gets_an_error_and_no_half(stores: Stores, box: int) -> None:
    mail_id = make_mail(stores, box, 2)  # in two rows
    pieces = stores.blobs.chunks(rows(stores, mail, id=mail_id)[0].blob_id)
    next(pieces)
    purge(stores)
    with pytest.raises(BlobMissing):
        next(pieces)
    assert issubclass(BlobMissing, StoreError)
