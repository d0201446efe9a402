"""Acts in their lanes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from revscript.host import Stores
from revscript.model import AT_ONCE
from revscript.store.outbox import LEASE, Act
from revscript.store.schema import act
from tests.store.kit import MINUTE, NOW, count, rows

LANE = "smtp:leitstelle"


def add(stores: Stores, key: str, level: str = "info", lane: str = LANE, now: datetime = NOW) -> int:
    with stores.database.write() as tx:
        return stores.outbox.add(
            tx,
            key=key,
            kind="mail",
            lane=lane,
            level=level,
            payload={"subject": key},
            not_after=now + 60 * MINUTE,
            now=now,
            mail_id=None,
        )


def claim(stores: Stores, lane: str = LANE, now: datetime = NOW) -> Act:
    claimed = stores.outbox.claim(lane, now)
    assert claimed is not None
    return claimed


def drain(stores: Stores, lane: str = LANE) -> list[str]:
    keys: list[str] = []
    while one := stores.outbox.claim(lane, NOW):
        keys.append(one.key)
    return keys


def test_the_most_urgent_comes_first_then_the_oldest(stores: Stores) -> None:
    for key, level in [("a", "info"), ("b", "alarm"), ("c", "important"), ("d", "alarm"), ("e", "info")]:
        add(stores, key, level)
    assert drain(stores) == ["b", "d", "c", "a", "e"]


def test_lanes_do_not_wait_for_each_other(stores: Stores) -> None:
    add(stores, "a")
    add(stores, "b", "alarm", "smtp:thw")
    assert sorted(stores.outbox.lanes()) == [LANE, "smtp:thw"]
    claim(stores)
    assert drain(stores) == []
    assert drain(stores, "smtp:thw") == ["b"]


def test_an_act_carries_all_that_is_needed(stores: Stores) -> None:
    number = add(stores, "a", "important")
    expected = Act(number, "a", "mail", LANE, "important", {"subject": "a"}, 1, NOW + 60 * MINUTE, NOW, None)
    assert claim(stores) == expected


def test_the_same_key_is_the_same_act(stores: Stores) -> None:
    assert add(stores, "a") == add(stores, "a", "alarm", "smtp:thw", NOW + MINUTE)
    assert count(stores, act) == 1
    claimed = claim(stores)
    stores.outbox.sent(claimed.id, {}, NOW)
    assert add(stores, "a") == claimed.id
    assert drain(stores) == []


def test_an_act_is_claimed_by_exactly_one(stores: Stores) -> None:
    for number in range(20):
        add(stores, str(number))
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(stores.outbox.claim, [LANE] * 60, [NOW] * 60))
    keys = [claimed.key for claimed in claims if claimed]
    assert sorted(keys, key=int) == [str(number) for number in range(20)]


def test_a_lease_ends(stores: Stores) -> None:
    """Another host died with it: at least once, never not at all."""
    add(stores, "a")
    assert claim(stores).tries == 1
    assert stores.outbox.claim(LANE, NOW + LEASE) is None
    assert claim(stores, now=NOW + LEASE + MINUTE).tries == 2


def test_after_a_start_our_own_leases_are_void(stores: Stores) -> None:
    add(stores, "a")
    claim(stores)
    stores.outbox.recover()
    assert claim(stores).tries == 2


def test_a_failed_try_comes_again_at_its_time(stores: Stores) -> None:
    add(stores, "a")
    add(stores, "b")
    first = claim(stores)
    stores.outbox.later(first.id, "greylisted", NOW + MINUTE, {"x@y.example": "451"})
    assert claim(stores).key == "b"
    assert stores.outbox.claim(LANE, NOW) is None
    second = claim(stores, now=NOW + MINUTE)
    assert (second.key, second.tries, second.receipt) == ("a", 2, {"x@y.example": "451"})


def test_the_next_due_time_of_a_lane(stores: Stores) -> None:
    assert stores.outbox.next_due(LANE) is None
    add(stores, "a")
    add(stores, "b", lane="smtp:thw", now=NOW - MINUTE)
    assert stores.outbox.next_due(LANE) == AT_ONCE
    stores.outbox.later(claim(stores).id, "busy", NOW + MINUTE, None)
    assert stores.outbox.next_due(LANE) == NOW + MINUTE


def test_what_was_sent_or_died_is_over(stores: Stores) -> None:
    add(stores, "a")
    add(stores, "b")
    stores.outbox.sent(claim(stores).id, {"x@y.example": "250"}, NOW + MINUTE)
    stores.outbox.dead(claim(stores).id, "550 no such user", NOW + MINUTE, None)
    sent, dead = rows(stores, act)
    assert (sent.state, sent.receipt, sent.error, sent.finished_at) == (
        "sent",
        {"x@y.example": "250"},
        "",
        NOW + MINUTE,
    )
    assert (dead.state, dead.error, dead.owner, dead.lease_until) == ("dead", "550 no such user", None, None)
    assert stores.outbox.lanes() == []
    assert stores.outbox.claim(LANE, NOW + 100 * MINUTE) is None


def test_an_act_knows_until_when_it_makes_sense(stores: Stores) -> None:
    """The courier decides: after a long time it is still handed out, so that it dies with a reason."""
    add(stores, "a")
    late = claim(stores, now=NOW + 100 * MINUTE)
    assert late.not_after < NOW + 100 * MINUTE
