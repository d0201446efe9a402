"""Incoming message forms: numbers without a gap, one form per mail, and nobody's words changed under his hands."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Row, update

from revscript.errors import EffectRefused
from revscript.jail.effects import Effect, FileForm, MissionFields, Notify, UpsertMission
from revscript.jail.questions import FindForm
from revscript.records.context import MailFacts
from revscript.store.record_tables import (
    form_attachment,
    form_entry,
    form_recipient,
    form_source,
    message_form,
    register_head,
)
from tests.records.kit import DOCUMENT, MINUTE, NOW, SCRIPT, Post

MISSION = UpsertMission(number="990007", fields=MissionFields(keyword="B 3"))
BROKEN = Notify(audience="channel", name="pager", text="refused inside the commit")


def the_form(post: Post) -> Row[Any]:
    (row,) = post.rows(message_form)
    return row


def entries(post: Post, form_id: int = 1) -> list[str]:
    return [row.kind for row in post.rows(form_entry, form_id=form_id)]


def touch(post: Post) -> None:
    """Somebody begins to work on all forms."""
    with post.stores.database.write() as tx:
        tx.execute(update(message_form).values(touched_at=NOW))


# ---------------------------------------------------------------- what a form says


def test_a_form_from_a_mail(post: Post) -> None:
    post.commit(FileForm(), by=DOCUMENT, mail=post.mail(received_at=NOW + MINUTE))
    form = the_form(post)
    assert (form.direction, form.state, form.priority, form.medium_actual) == ("in", "to_review", "routine", "email")
    assert (form.subject, form.text) == ("B 3 Lagerhalle", "Einsatznummer 990007\n")
    assert (form.sender_unit, form.sender_address) == ("Leitstelle", "alarm@leitstelle.example")
    assert (form.addressee, form.received_by) == ("Feuerwehr Musterstadt", "MAIL")
    assert (form.received_at, form.composed_at, form.created_at) == (NOW + MINUTE, NOW, NOW)
    assert form.composed_at_raw == "Sun, 01 Mar 2026 12:00:00 +0000"
    assert (form.register_mission_id, form.register_no, form.mission_id) == (0, 1, None)
    assert [(row.kind, row.text) for row in post.rows(form_entry)] == [("filed", "no. 1")]


def test_what_the_mail_does_not_say_stays_empty(post: Post) -> None:
    post.commit(FileForm(), by=DOCUMENT, mail=post.mail(None, account="alarm", sender=None, subject="", text=""))
    form = the_form(post)
    assert (form.subject, form.text, form.sender_unit, form.sender_address) == ("", "", "", "")
    assert (form.composed_at, form.composed_at_raw) == (None, "")
    assert form.addressee == "Zugführer"  # the account's own


@pytest.mark.parametrize(
    ("age", "plausible"),
    [
        (timedelta(hours=24), True),
        (timedelta(hours=24, seconds=1), False),
        (timedelta(minutes=-10), True),
        (timedelta(minutes=-10, seconds=-1), False),
    ],
)
def test_a_time_of_origin_is_never_an_invented_one(post: Post, age: timedelta, plausible: bool) -> None:
    post.commit(FileForm(), by=DOCUMENT, mail=post.mail(NOW - age, received_at=NOW))
    assert the_form(post).composed_at == (NOW - age if plausible else None)
    assert the_form(post).composed_at_raw != ""


def test_what_the_script_says(post: Post) -> None:
    said = {"subject": "BMA", "text": "x\n", "priority": "flash", "sender_unit": "ILS", "addressee": "S3"}
    files = [("fax.pdf", b"fax"), ("plan.pdf", b"plan")]
    post.commit(
        FileForm(**said, distribution=("S2", "S3"), attachments=(1,)),  # pyright: ignore[reportArgumentType]
        mail=post.mail(files=files),
    )
    form = the_form(post)
    assert {name: getattr(form, name) for name in said} == said
    assert [row.function for row in post.rows(form_recipient)] == ["S2", "S3"]
    (attached,) = post.rows(form_attachment)
    assert (attached.name, attached.type) == ("plan.pdf", "application/pdf")
    assert post.stores.blobs.content(attached.blob_id) == b"plan"


# ---------------------------------------------------------------- numbers


def test_numbers_have_no_gap_under_contention_and_refusals(post: Post) -> None:
    def file(mail: MailFacts) -> None:
        if mail.id % 3:
            post.commit(FileForm(), by=DOCUMENT, mail=mail)
        else:  # its number is drawn, and given back
            with pytest.raises(EffectRefused):
                post.commit(FileForm(), BROKEN, by=DOCUMENT, mail=mail)

    mails = [post.mail() for _ in range(60)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(file, mails))
    assert [row.register_no for row in post.rows(message_form)] == list(range(1, 41))
    assert [(row.book, row.next_no) for row in post.rows(register_head)] == [("messages", 41)]


def test_each_mission_has_a_register_of_its_own(post: Post) -> None:
    post.commit(MISSION, by="user:mue", key="1")
    for effects in [(FileForm(),), (MISSION, FileForm(mission="effect:0")), (MISSION, FileForm(mission="effect:0"))]:
        post.commit(*effects, mail=post.mail())
    numbers = [(row.register_mission_id, row.register_no, row.mission_id) for row in post.rows(message_form)]
    assert numbers == [(0, 1, None), (1, 1, 1), (1, 2, 1)]


def test_a_form_that_is_moved_into_a_mission_keeps_its_number(post: Post) -> None:
    mail = post.mail()
    post.commit(FileForm(), by=DOCUMENT, mail=mail)
    post.commit(MISSION, FileForm(mission="effect:0"), mail=mail)
    form = the_form(post)
    assert (form.register_mission_id, form.register_no, form.mission_id) == (0, 1, 1)
    assert entries(post) == ["filed", "changed"]


# ---------------------------------------------------------------- one form per mail


@pytest.mark.parametrize("order", [(SCRIPT, DOCUMENT), (DOCUMENT, SCRIPT)])
def test_script_and_form_method_share_one_form(post: Post, order: tuple[str, str]) -> None:
    mail = post.mail(files=[("fax.pdf", b"fax"), ("plan.pdf", b"plan")])
    wishes: dict[str, Effect] = {
        SCRIPT: FileForm(subject="BMA", key="990007", attachments=(0,)),
        DOCUMENT: FileForm(attachments=(0, 1)),
    }
    for by in order:
        assert post.commit(wishes[by], by=by, mail=mail).targets == ("form:1",)
    form = the_form(post)
    assert (form.subject, form.text, form.external_key) == ("BMA", "Einsatznummer 990007\n", "990007")
    assert [row.name for row in post.rows(form_attachment)] == ["fax.pdf", "plan.pdf"]
    assert [(row.mail_id, row.form_id) for row in post.rows(form_source)] == [(mail.id, form.id)]


def test_a_touched_form_keeps_its_words(post: Post) -> None:
    mail = post.mail(files=[("fax.pdf", b"fax")])
    post.commit(FileForm(), by=DOCUMENT, mail=mail)
    touch(post)
    before = the_form(post)
    said = FileForm(subject="BMA", priority="flash", distribution=("S2",), mission="effect:0", attachments=(0,))
    post.commit(MISSION, said, mail=mail)
    assert the_form(post) == before
    linked = post.rows(form_entry)[-1]
    assert (linked.kind, linked.by) == ("linked", SCRIPT)
    assert linked.text == "subject: BMA\npriority: flash\nmission: no. 1\ndistribution: S2\nattachments: 1"
    assert post.rows(form_recipient) == []
    assert [row.name for row in post.rows(form_attachment)] == ["fax.pdf"]  # the file is not lost


def test_a_touched_form_is_still_found_by_the_key_that_it_gets(post: Post) -> None:
    mail = post.mail()
    post.commit(FileForm(), by=DOCUMENT, mail=mail)
    touch(post)
    post.commit(FileForm(key="990007"), mail=mail)
    post.commit(FileForm(key="990007", text="zweite"), mail=post.mail(NOW + MINUTE))
    assert the_form(post).text == "Einsatznummer 990007\n"
    assert entries(post) == ["filed", "linked"]
    assert post.rows(form_entry)[-1].text == "text: zweite"


def test_a_script_can_see_that_a_form_was_touched(post: Post) -> None:
    mail = post.mail()
    post.commit(FileForm(key="990007"), mail=mail)
    assert post.ask(FindForm(key="990007")).answer["touched"] is False
    touch(post)
    assert post.ask(FindForm(), mail).answer == {
        "ref": "form:1",
        "number": 1,
        "state": "to_review",
        "priority": "routine",
        "subject": "B 3 Lagerhalle",
        "key": "990007",
        "mission": None,
        "touched": True,
    }


# ---------------------------------------------------------------- one form across mails


def test_a_later_mail_with_the_same_key(post: Post) -> None:
    post.commit(FileForm(key="990007", text="erste"), mail=post.mail())
    later = post.mail(NOW + MINUTE, files=[("plan.pdf", b"plan")])
    committed = post.commit(FileForm(key="990007", text="zweite", priority="flash", attachments=(0,)), mail=later)
    post.commit(FileForm(attachments=(0,)), by=DOCUMENT, mail=later)
    assert committed.targets == ("form:1",)
    form = the_form(post)
    assert form.text == "erste\n\n— 01.03.2026 13:01 —\nzweite"  # both, with local time
    assert (form.priority, form.as_of) == ("flash", NOW + MINUTE)
    assert [row.form_id for row in post.rows(form_source)] == [1, 1]
    assert [row.name for row in post.rows(form_attachment)] == ["plan.pdf"]


def test_without_words_of_the_script_the_later_mails_text_is_added(post: Post) -> None:
    post.commit(FileForm(key="990007"), mail=post.mail(text="erste"))
    post.commit(FileForm(key="990007"), mail=post.mail(NOW + MINUTE, text="zweite"))
    assert the_form(post).text == "erste\n\n— 01.03.2026 13:01 —\nzweite"


def test_a_late_mail_does_not_overwrite_a_newer_one(post: Post) -> None:
    post.commit(FileForm(key="990007", subject="neu"), mail=post.mail())
    before = the_form(post)
    post.commit(FileForm(key="990007", subject="alt", text="alt"), mail=post.mail(NOW - MINUTE))
    assert the_form(post) == before
    late = post.rows(form_entry)[-1]
    assert (late.kind, late.text) == ("late", "subject: alt\ntext: alt")


def test_a_key_that_another_form_has_while_this_mail_has_one_too(post: Post) -> None:
    """The form method was first with this mail; then the script says to which form it belongs."""
    post.commit(FileForm(key="990007", text="erste"), mail=post.mail())
    later = post.mail(NOW + MINUTE, text="zweite", files=[("fax.pdf", b"fax")])
    post.commit(FileForm(attachments=(0,)), by=DOCUMENT, mail=later)
    committed = post.commit(FileForm(key="990007", priority="flash", attachments=(0,)), mail=later)
    assert committed.targets == ("form:1",)
    keyed, own = post.rows(message_form)
    assert (keyed.text, keyed.priority) == ("erste\n\n— 01.03.2026 13:01 —\nzweite", "flash")
    assert (own.text, own.priority, own.external_key) == ("zweite", "routine", None)
    assert (entries(post, 1), entries(post, 2)) == (["filed", "changed"], ["filed", "linked"])
    assert "no. 1" in post.rows(form_entry)[-1].text
    assert [(row.mail_id, row.form_id) for row in post.rows(form_source)] == [(1, 1), (2, 1), (2, 2)]


def test_several_keys_in_one_mail_are_several_forms(post: Post) -> None:
    mail = post.mail()
    wishes = [FileForm(key=key, subject=key) for key in ("990007", "990008")]
    assert post.commit(*wishes, mail=mail).targets == ("form:1", "form:2")
    assert [(row.external_key, row.subject) for row in post.rows(message_form)] == [
        ("990007", "990007"),
        ("990008", "990008"),
    ]
    assert post.commit(FileForm(), by=DOCUMENT, mail=mail).targets == ("form:1",)


def test_a_second_wish_of_a_later_mail_keeps_the_first_mails_text(post: Post) -> None:
    post.commit(FileForm(key="990007", text="erste"), mail=post.mail())
    later = post.mail(NOW + MINUTE)
    post.commit(FileForm(key="990007", text="zweite"), FileForm(key="990007", text="dritte"), mail=later)
    assert [word in the_form(post).text for word in ("erste", "zweite", "dritte")] == [True, True, True]


def test_a_forms_local_time_is_the_settings(post: Post) -> None:
    summer = datetime(2026, 7, 1, 12, tzinfo=UTC)
    post.commit(FileForm(key="1", text="a"), mail=post.mail(summer))
    post.commit(FileForm(key="1", text="b"), mail=post.mail(summer))
    assert "— 01.07.2026 14:00 —" in the_form(post).text
