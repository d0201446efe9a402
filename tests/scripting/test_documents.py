"""Message forms: filed, looked up, and the run's own words over the stored ones."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from revscript.jail.effects import FileForm
from revscript.jail.questions import FindForm
from tests.scripting.fake import CONTEXT, Stage, attachment, form, mission


def test_default_takes_everything_from_the_mail_and_asks_nothing() -> None:
    s = Stage()
    document = s.documents.incoming(s.mail)
    assert s.effect == FileForm(attachments=(0, 2))
    assert s.session.questions == []
    assert (document.subject, document.priority, document.state) == ("B 3 Lagerhalle", "routine", "to_review")
    assert (document.number, document.key, document.mission) == (None, None, None)
    assert s.session.questions == [FindForm(key=None)]


def test_all_fields() -> None:
    s = Stage()
    made, _ = s.missions.upsert("1")
    document = s.documents.incoming(
        key="bmz-1", subject="Feuer", text="Zeile\nzwei", priority="Sofort", mission=made, sender_unit="ILS",
        addressee="FüSt", distribution=["S3", "S2"], attachments=s.mail.attachments[1],
    )  # fmt: skip
    assert s.effect == FileForm(
        key="bmz-1", subject="Feuer", text="Zeile\nzwei", priority="immediate", mission="effect:0",
        sender_unit="ILS", addressee="FüSt", distribution=("S3", "S2"), attachments=(1,),
    )  # fmt: skip
    assert (document.key, document.subject, document.priority) == ("bmz-1", "Feuer", "immediate")
    assert document.mission is made


@pytest.mark.parametrize(
    ("word", "priority"),
    [
        ("einfach", "routine"),
        ("SOFORT", "immediate"),
        ("Blitz", "flash"),
        ("staatsnot", "emergency"),
        ("flash", "flash"),
    ],
)
def test_priority_words(word: str, priority: str) -> None:
    s = Stage()
    s.documents.incoming(priority=word)
    assert s.effect.priority == priority


@pytest.mark.parametrize(("what", "indexes"), [(True, (0, 2)), (False, ()), ((), ()), (None, ())])
def test_attachments(what: Any, indexes: tuple[int, ...]) -> None:
    s = Stage()
    s.documents.incoming(attachments=what)
    assert s.effect.attachments == indexes


def test_inline_attachments_by_the_account() -> None:
    s = Stage(dataclasses.replace(CONTEXT, attachments_inline=True))
    s.documents.incoming(s.mail)
    assert s.effect.attachments == (0, 1, 2)


def test_too_many_attachments_do_not_stop_the_form() -> None:
    s = Stage(attachments=tuple(attachment(f"{n}.pdf") for n in range(201)))
    s.documents.incoming(s.mail)
    assert len(s.effect.attachments) == 200
    assert s.session.lines == ["only 200 of 201 attachments go with the form"]


def test_long_subject_is_cut() -> None:
    s = Stage()
    s.documents.incoming(subject="a\n" * 300)
    assert s.effect.subject == "a " * 126 + "a…"


def test_find() -> None:
    s = Stage()
    s.session.missions = {"1": mission("1", "mission:4")}
    s.session.forms = {"bmz": form(mission="mission:4")}
    found = s.documents.find(key="bmz")
    assert (found.number, found.state, found.priority) == (12, "to_review", "immediate")
    assert (found.subject, found.key, found.mission.number) == ("Störung", "bmz", "1")
    assert s.documents.find("bmz") is found
    assert s.documents.find(key="other") is None
    assert s.documents.find() is None


def test_own_words_over_stored_ones() -> None:
    s = Stage()
    s.session.forms = {"bmz": form()}
    s.documents.incoming(key="bmz", subject="Behoben")
    s.documents.incoming(key="bmz", priority="einfach")
    found = s.documents.find(key="bmz")
    assert (found.number, found.subject, found.priority) == (12, "Behoben", "routine")


def test_touched_words_stand() -> None:
    s = Stage()
    s.session.forms = {"bmz": form(touched=True)}
    document = s.documents.incoming(key="bmz", subject="Behoben", priority="blitz")
    assert (document.subject, document.priority) == ("Störung", "immediate")


WRONG: list[tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
    ((), {"key": ""}, ValueError, "key: text must have 1 to 200"),
    ((), {"key": "a\nb"}, ValueError, "key: text must be one line"),
    ((), {"priority": "eilig"}, ValueError, "priority: 'eilig' is not one of 'routine'"),
    ((), {"priority": 1}, ValueError, "priority: 1 is not one of"),
    ((), {"subject": 5}, TypeError, "subject: a int was given"),
    (("mail",), {}, TypeError, "mail: a str was given where the mail is needed"),
    ((), {"mission": "T 1"}, TypeError, "mission: a str was given where a mission is needed"),
    ((), {"mission": (1, 2)}, TypeError, "mission, change = "),
]


@pytest.mark.parametrize(("args", "more", "error", "text"), WRONG)
def test_wrong_arguments(args: tuple[Any, ...], more: dict[str, Any], error: type[Exception], text: str) -> None:
    s = Stage()
    with pytest.raises(error) as caught:
        s.documents.incoming(*args, **more)
    assert text in str(caught.value)
    assert s.session.effects == []
