"""Mails that cannot be fetched step aside; all others keep their order."""

from __future__ import annotations

import pytest

from revscript.inbound import suspects
from revscript.inbound.suspects import FETCH_BATCH, FETCH_BATCH_BYTES, Suspects
from revscript.model import ServerMail


def mails(count: int, size: int = 1000) -> list[ServerMail]:
    return [ServerMail("7", str(uid), size) for uid in range(1, count + 1)]


def uids(known: Suspects, listed: list[ServerMail]) -> list[list[int]]:
    return [[int(mail.key) for mail in batch] for batch in known.batches(listed)]


def test_batches_keep_the_order_and_have_a_size() -> None:
    assert [len(batch) for batch in Suspects().batches(mails(50))] == [FETCH_BATCH, FETCH_BATCH, 10]
    assert [len(batch) for batch in Suspects().batches(mails(5, FETCH_BATCH_BYTES // 2))] == [2, 2, 1]
    small, large = mails(4), ServerMail("7", "9", 5 << 20)
    assert uids(Suspects(), [*small[:2], large, *small[2:]]) == [[1, 2], [9], [3, 4]]
    assert uids(Suspects(), []) == []


def test_once_may_be_the_network_twice_comes_alone_thrice_steps_aside() -> None:
    known, listed = Suspects(), mails(6)
    known.failed(listed[1:4], "cut")
    assert uids(known, listed) == [[1, 2, 3, 4, 5, 6]]
    known.failed(listed[1:4], "cut")
    assert uids(known, listed) == [[1], [2], [3], [4], [5, 6]]
    known.cleared([listed[1], listed[3]])
    assert uids(known, listed) == [[1, 2], [3], [4, 5, 6]]
    assert known.aside() == []
    known.failed([listed[2]], "cut")
    assert uids(known, listed) == [[1, 2, 4, 5, 6]]
    assert known.aside() == [(listed[2], "cut")]


def test_it_waits_longer_each_time_and_is_never_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(suspects.time, "monotonic", lambda: now)
    known, (mail,) = Suspects(), mails(1)
    for _ in range(3):
        known.failed([mail], "no")
    pauses: list[float] = []
    for _ in range(7):
        started = now
        while not uids(known, [mail]):
            now += 10
        pauses.append(now - started)
        known.failed([mail], "no")
    assert pauses == [60, 120, 240, 480, 600, 600, 600]


def test_what_is_not_listed_any_more_is_forgotten() -> None:
    known, listed = Suspects(), mails(2)
    for _ in range(3):
        known.failed(listed, "no")
    assert uids(known, listed[:1]) == []
    assert known.aside() == [(listed[0], "no")]
