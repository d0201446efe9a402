"""What is known of a mailbox: how it fares, how far it was looked at, what lay there at the first contact."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from revscript.host import Stores
from revscript.model import ServerMail
from revscript.store.mailboxes import Baseline, Memory
from revscript.store.schema import mailbox
from tests.store.kit import MINUTE, NOW, listed, receive, rows


def state(stores: Stores, *names: str) -> tuple[Any, ...]:
    (row,) = rows(stores, mailbox)
    return tuple(getattr(row, name) for name in names)


def test_how_it_fares(stores: Stores, box: int) -> None:
    names = ("mode", "error", "last_ok_at", "next_poll_at")
    assert state(stores, "mode") == ("",)
    stores.intake.failed(box, "no answer", NOW + MINUTE)
    assert state(stores, *names) == ("down", "no answer", None, NOW + MINUTE)
    stores.intake.proved(box, NOW, NOW + 2 * MINUTE, "push")
    assert state(stores, *names) == ("push", "", NOW, NOW + 2 * MINUTE)
    stores.intake.failed(box, "no answer", NOW + 3 * MINUTE)
    stores.intake.unwatched(box)
    assert state(stores, *names) == ("", "", NOW, None)


def test_when_the_last_mail_came(stores: Stores, box: int) -> None:
    assert state(stores, "mail_at") == (None,)
    receive(stores, box, listed(7))
    assert state(stores, "mail_at") == (NOW,)


def test_how_far_was_looked(stores: Stores) -> None:
    box = stores.intake.mailbox_id("imap", "mail.fuest.example", "einsatz", "INBOX")
    assert not stores.intake.memory(box).watched
    stores.intake.first_contact(box, NOW)
    stores.intake.begin_epoch(box, "1", 7)
    assert stores.intake.memory(box) == Memory("1", 0, 7, watched=True, baseline=None)
    stores.intake.looked(box, 9, 2)
    stores.intake.looked(box, 12, 1)
    assert state(stores, "looked_below", "read_by_others", "watched_since") == (12, 3, NOW)
    stores.intake.begin_epoch(box, "2", 4)  # its UIDs are others
    assert state(stores, "looked_below", "compare_below", "read_by_others") == (4, 4, 3)


def test_a_mailbox_of_an_older_store_was_watched(stores: Stores, box: int) -> None:
    assert state(stores, "watched_since", "epoch") == (None, "1")
    assert stores.intake.memory(box).watched


def test_strangers_are_mails_that_the_ledger_does_not_have(stores: Stores, box: int) -> None:
    receive(stores, box, listed(7), listed(8))
    assert stores.intake.strangers(box, "1", ["7", "8"]) == 0
    assert stores.intake.strangers(box, "1", ["7", "9", "9", "10"]) == 2
    assert stores.intake.strangers(box, "2", ["7"]) == 1
    assert stores.intake.strangers(box, "1", [str(key) for key in range(1, 1201)]) == 1198


BASELINE = Baseline("1", 50, datetime.fromisoformat("2026-03-01T12:00:00+00:00"))


@pytest.mark.parametrize(
    ("mail", "there"),
    [
        (listed(49, date="2026-03-05T12:00:00+01:00"), True),
        (listed(50, date="2026-02-01T12:00:00+01:00"), False),
        (listed(3, epoch="2", date="2026-03-01T13:00:00+01:00"), True),  # the same second, in another zone
        (listed(3, epoch="2", date="2026-03-01T13:00:01+01:00"), False),
        (listed(20, epoch="2", date="2026-02-01T12:00:00+01:00"), False),  # it came after the renumbering
        (listed(3, epoch="2", date=""), False),
    ],
)
def test_what_lay_there_at_the_first_contact(stores: Stores, mail: ServerMail, there: bool) -> None:
    box = stores.intake.mailbox_id("imap", "mail.fuest.example", "einsatz", "INBOX")
    stores.intake.first_contact(box, NOW, BASELINE)
    assert not stores.intake.begin_epoch(box, "1", 50)
    assert stores.intake.memory(box).baseline == BASELINE
    if mail.epoch == "2":
        stores.intake.begin_epoch(box, "2", 20)
    assert stores.intake.memory(box).lay_there(mail) is there
