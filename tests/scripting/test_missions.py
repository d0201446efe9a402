"""Missions: effects, answers, and the run's own wishes over them."""

from __future__ import annotations

from typing import Any

import pytest

from revscript.jail.effects import AddToFolder, MissionFields, OpenMission, UpsertMission
from revscript.jail.questions import FindMission, RunningMissions
from tests.scripting.fake import Stage, attachment, mission


def stage(*answers: dict[str, Any], **changes: Any) -> Stage:
    made = Stage(**changes)
    made.session.missions = {answer["number"]: answer for answer in answers}
    return made


def test_new_mission() -> None:
    s = stage()
    made, change = s.missions.upsert("990007", keyword="B 3", address="Beispielweg 7", position=(50, 9.5))
    assert s.effect == UpsertMission(
        number="990007", fields=MissionFields(keyword="B 3", address="Beispielweg 7", lat=50, lon=9.5)
    )
    assert (change.created, bool(change), change.fields) == (True, True, ("keyword", "address", "position"))
    assert str(change) == "neuer Einsatz: Stichwort: B 3; Adresse: Beispielweg 7; Position: 50.00000, 9.50000"
    assert (made.number, made.title, made.keyword, made.state) == ("990007", "", "B 3", "running")
    assert made.fields["position"] == (50, 9.5)
    assert s.session.questions == [FindMission(number="990007")]


def test_known_mission() -> None:
    s = stage(mission())
    found, change = s.missions.upsert("990007", keyword="B 3", units=["Florian 1", "Florian 2"], text="Feuer")
    assert (change.created, change.fields) == (False, ("keyword", "text", "units"))
    assert str(change) == "Stichwort: B 2 → B 3; Meldung eingetragen; Einheiten: + Florian 2"
    assert dict(found.fields) == {
        "title": "Brand", "keyword": "B 3", "text": "Feuer", "address": "Beispielweg 7", "position": None,
        "units": ("Florian 1", "Florian 2"),
    }  # fmt: skip
    found.folder.add(s.mail)
    assert s.effect.mission == "mission:5"


def test_nothing_new_is_no_change_but_still_a_wish() -> None:
    s = stage(mission())
    _, change = s.missions.upsert("990007", keyword="B 2")
    assert (bool(change), change.fields, str(change)) == (False, (), "keine Änderung")
    assert len(s.session.effects) == 1


def test_older_mail_only_fills() -> None:
    s = stage(mission(as_of="2026-03-01T12:30:00+00:00"))
    found, change = s.missions.upsert("990007", keyword="B 1", text="Rauch", units=["Florian 9"])
    assert change.fields == ("text",)
    assert (found.keyword, found.fields["units"]) == ("B 2", ("Florian 1",))
    _, again = s.missions.upsert("990007", keyword="B 1", text="anders")
    assert not again


def test_second_upsert_sees_the_first() -> None:
    s = stage()
    first, _ = s.missions.upsert("1", keyword="B 2", units="Florian 1")
    second, change = s.missions.upsert("1", keyword="B 3", units=("Florian 2", ""))
    assert second is first
    assert str(change) == "Stichwort: B 2 → B 3; Einheiten: + Florian 2"
    assert not change.created
    assert first.keyword == "B 3"
    assert s.missions.find("1") is first
    assert len(s.session.questions) == 1


def test_running_shows_answers_and_own_wishes() -> None:
    s = stage(mission("1", "mission:1"), mission("2", "mission:2"))
    s.missions.upsert("2", title="Neu")
    s.missions.upsert("3", title="Drei")
    opened = s.missions.open("Hochwasser", keyword="UNWETTER", kind="planned")
    assert type(s.effect) is OpenMission
    assert (s.effect.kind, s.effect.fields.title) == ("planned", "Hochwasser")
    running = s.missions.running()
    assert [(m.number, m.title) for m in running] == [
        ("1", "Brand"), ("2", "Neu"), ("3", "Drei"), ("", "Hochwasser")
    ]  # fmt: skip
    assert running[-1] is opened
    assert s.missions.running() == running
    assert [type(q) for q in s.session.questions].count(RunningMissions) == 1


def test_references() -> None:
    s = stage()
    s.mail.label("x")
    made, _ = s.missions.upsert("1")
    s.missions.upsert("1", title="x")
    made.folder.add(s.mail.attachments[2], tags=["Plan", "Plan B"])
    assert s.effect == AddToFolder(mission="effect:1", attachments=(2,), tags=("Plan", "Plan B"))
    s.missions.open("Neu").folder.add(s.mail)
    assert s.effect.mission == "effect:4"


def test_find_nothing_asks_once() -> None:
    s = stage()
    assert s.missions.find("1") is None
    assert s.missions.find("1") is None
    assert len(s.session.questions) == 1


def test_folder_takes_mail_list_or_one() -> None:
    s = stage(mission())
    folder = s.missions.find("990007").folder
    folder.add(s.mail)
    assert s.effect.attachments == (0, 2)
    folder.add(s.mail.attachments, tags="Fax")
    assert (s.effect.attachments, s.effect.tags) == ((0, 1, 2), ("Fax",))
    folder.add([])
    assert len(s.session.effects) == 2
    for wrong in ("fax.pdf", ["fax.pdf"], 5):
        with pytest.raises(TypeError, match="attachments: a"):
            folder.add(wrong)


def test_more_attachments_than_one_effect_holds() -> None:
    s = stage(mission(), attachments=tuple(attachment(f"{n}.pdf") for n in range(450)))
    s.missions.find("990007").folder.add(s.mail)
    assert [len(effect.attachments) for effect in s.session.effects] == [200, 200, 50]


def test_texts_are_made_to_fit() -> None:
    s = stage()
    s.missions.upsert("1", title="a\r\n b\x00c\u202e", keyword="K" * 150, text="x\r\ny\x07z", units=["U" * 101])
    fields = s.effect.fields
    assert (fields.title, fields.text) == ("a b c", "x\ny z")
    assert fields.keyword == "K" * 99 + "…"
    assert [len(unit) for unit in fields.units] == [100]
    assert s.session.lines == [
        "keyword was cut from 150 to 100 characters",
        "units was cut from 101 to 100 characters",
    ]


WRONG: list[tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
    (("",), {}, ValueError, "number: text must have 1 to 100"),
    (("1\n2",), {}, ValueError, "number: text must be one line"),
    (("x" * 101,), {}, ValueError, "number: text must have"),
    ((990007,), {}, TypeError, "number: a int was given"),
    (("1",), {"position": (91, 0)}, ValueError, "fields: lat: number must be between -90 and 90"),
    (("1",), {"position": (1, 2, 3)}, ValueError, "give latitude and longitude"),
    (("1",), {"position": "50,9"}, TypeError, "position: a str was given"),
    (("1",), {"position": ("50", "9")}, TypeError, "lat: a str was given"),
    (("1",), {"kind": "übung"}, ValueError, "kind: 'übung' is not one of 'real'"),
    (("1",), {"keyword": 5}, TypeError, "fields: keyword: a int was given"),
    (("1",), {"units": 5}, TypeError, "units: a int was given where a list is needed"),
    (("1",), {"keywrod": "x"}, TypeError, "unexpected keyword argument"),
]


@pytest.mark.parametrize(("args", "more", "error", "text"), WRONG)
def test_wrong_arguments(args: tuple[Any, ...], more: dict[str, Any], error: type[Exception], text: str) -> None:
    s = stage()
    with pytest.raises(error) as caught:
        s.missions.upsert(*args, **more)
    assert text in str(caught.value)
    assert s.session.effects == []


def test_open_needs_a_title() -> None:
    with pytest.raises(ValueError, match="title: a mission without a number needs one"):
        stage().missions.open(" ")
