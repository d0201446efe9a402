"""Missions: found by number, merged by the date of the mails, numbered by ourselves where nobody did."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Row

from revscript.jail.effects import FileForm, MissionFields, OpenMission, UpsertMission
from revscript.store.record_tables import mission, mission_entry
from tests.records.kit import MINUTE, NOW, Post, post_in

NUMBER = "990007"
FIRST = MissionFields(keyword="B 2", address="Beispielweg 7", units=("Florian 1",))


def upsert(post: Post, minutes: float = 0, **fields: Any) -> str:
    """A mail of that many minutes after the first one says this about the mission."""
    effect = UpsertMission(number=NUMBER, fields=MissionFields(**fields))
    return post.commit(effect, mail=post.mail(NOW + minutes * MINUTE)).targets[0]


def the_mission(post: Post) -> Row[Any]:
    (row,) = post.rows(mission)
    return row


def entries(post: Post) -> list[tuple[str, str]]:
    return [(row.kind, row.text) for row in post.rows(mission_entry)]


def open_own(post: Post, now: datetime = NOW, title: str = "Hochwasser") -> str:
    post.commit(OpenMission(kind="planned", fields=MissionFields(title=title)), by="user:mue", now=now)
    return post.rows(mission)[-1].number


def test_a_new_number_is_a_new_mission(post: Post) -> None:
    effect = UpsertMission(number=NUMBER, kind="exercise", fields=FIRST)
    assert post.commit(effect, mail=post.mail(NOW - MINUTE)).targets == ("mission:1",)
    row = the_mission(post)
    assert (row.number, row.kind, row.state, row.lead) == (NUMBER, "exercise", "running", False)
    assert (row.keyword, row.address, row.units, row.title) == ("B 2", "Beispielweg 7", ["Florian 1"], "")
    assert (row.as_of, row.opened_at) == (NOW - MINUTE, NOW)
    assert entries(post) == [("opened", "B 2")]


def test_a_newer_mail_changes_what_it_names(post: Post) -> None:
    upsert(post, keyword="B 2", address="Beispielweg 7", units=("Florian 1",))
    assert upsert(post, 1, keyword="B 3", units=("Florian 2", "Florian 1")) == "mission:1"
    row = the_mission(post)
    assert (row.keyword, row.address, row.units) == ("B 3", "Beispielweg 7", ["Florian 1", "Florian 2"])
    assert row.as_of == NOW + MINUTE
    assert entries(post) == [("opened", "B 2"), ("changed", "keyword: B 3; units: Florian 1, Florian 2")]


def test_what_says_nothing_new_leaves_no_entry(post: Post) -> None:
    upsert(post, keyword="B 2")
    upsert(post, 1, keyword="B 2", title="")
    assert (the_mission(post).as_of, entries(post)) == (NOW + MINUTE, [("opened", "B 2")])
    upsert(post, 0.5, keyword="B 1")  # older than what the second mail has confirmed
    assert the_mission(post).keyword == "B 2"


def test_an_older_mail_only_fills_what_is_empty(post: Post) -> None:
    upsert(post, keyword="B 3")
    upsert(post, -5, keyword="B 2", address="Beispielweg 7", lat=48.1, lon=11.5)
    row = the_mission(post)
    assert (row.keyword, row.address, row.lat, row.lon) == ("B 3", "Beispielweg 7", 48.1, 11.5)
    assert row.as_of == NOW  # it does not get older by it
    assert entries(post)[1:] == [("changed", "address: Beispielweg 7; position: 48.10000, 11.50000")]


def test_an_older_mail_that_may_change_nothing_is_noted(post: Post) -> None:
    upsert(post, keyword="B 3")
    before = the_mission(post)
    upsert(post, -5, keyword="B 2")
    assert the_mission(post) == before
    assert entries(post)[1:] == [("late", "older than what is known, not applied: mission 990007: B 2")]
    upsert(post, -5, keyword="B 3")  # says the same: no entry
    assert len(entries(post)) == 2


def test_a_person_changes_it_now(post: Post) -> None:
    upsert(post, keyword="B 2")
    post.commit(UpsertMission(number=NUMBER, fields=MissionFields(keyword="B 4")), by="user:mue", now=NOW + MINUTE)
    assert (the_mission(post).keyword, the_mission(post).as_of) == ("B 4", NOW + MINUTE)
    upsert(post, 0, keyword="B 3")
    assert the_mission(post).keyword == "B 4"


def test_own_numbers_count_per_year_of_the_post(post: Post) -> None:
    assert [open_own(post), open_own(post)] == ["2026-001", "2026-002"]
    eve = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)  # in Berlin it is 2027 already
    assert open_own(post, eve) == "2027-001"
    row = post.rows(mission)[0]
    assert (row.title, row.kind, row.state, entries(post)[0]) == (
        "Hochwasser",
        "planned",
        "running",
        ("opened", "Hochwasser"),
    )


def test_a_number_that_the_control_centre_took_is_skipped(post: Post) -> None:
    for number in ("2026-001", "2026-002"):
        post.commit(UpsertMission(number=number, fields=FIRST), by="user:mue")
    assert [open_own(post), open_own(post)] == ["2026-003", "2026-004"]


def test_another_time_zone(tmp_path_factory: pytest.TempPathFactory) -> None:
    with post_in(tmp_path_factory.mktemp("utc"), time_zone="UTC") as post:
        assert open_own(post, datetime(2026, 12, 31, 23, 30, tzinfo=UTC)) == "2026-001"


def test_a_mission_is_real_as_soon_as_one_mail_says_so_and_stays_it(post: Post) -> None:
    post.commit(UpsertMission(number="990007", kind="exercise", fields=MissionFields()), mail=post.mail())
    post.commit(UpsertMission(number="990007", kind="real", fields=MissionFields()), mail=post.mail(NOW + MINUTE))
    post.commit(UpsertMission(number="990007", kind="exercise", fields=MissionFields()), mail=post.mail(NOW + MINUTE))
    assert the_mission(post).kind == "real"
    assert entries(post)[1:] == [("changed", "kind: real")]


def test_a_form_of_a_mission_is_named_there(post: Post) -> None:
    post.commit(UpsertMission(number="990007", fields=MissionFields()), FileForm(mission="effect:0"), mail=post.mail())
    assert entries(post)[1:] == [("form", "message form no. 1")]
