"""The commit itself: all or nothing, once, and only on answers that still hold."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import update

from revscript.commit import Conflict
from revscript.errors import EffectRefused
from revscript.jail.effects import (
    AddToFolder,
    FileForm,
    IgnoreMail,
    LabelMail,
    MissionFields,
    Notify,
    SendMail,
    ShowInCentre,
    UpsertMission,
)
from revscript.jail.questions import FindForm, FindMission, RunningMissions
from revscript.model import Asked, Outcome
from revscript.records.context import MailFacts
from revscript.store.record_tables import (
    centre_entry,
    form_entry,
    mail_label,
    message_form,
    mission,
    mission_entry,
    notice,
)
from revscript.store.schema import act, applied_effect, run, task
from tests.records.kit import DOCUMENT, MINUTE, NOW, SCRIPT, Post

MISSION = UpsertMission(number="990007", fields=MissionFields(keyword="B 3"))
SEEN = FindMission(number="990007")


def again(post: Post, mail: MailFacts, method: str = "script", generation: int = 0) -> None:
    """Let a task that is done wait again, as a re-run does; a forced one raises the generation."""
    with post.stores.database.write() as tx:
        here = update(task).where(task.c.mail_id == mail.id, task.c.method == method)
        tx.execute(here.values(state="waiting", generation=generation))


# ---------------------------------------------------------------- all of it, with its record


def test_a_try_is_recorded_with_its_effects(post: Post) -> None:
    mail = post.mail()
    asked = post.ask(SEEN)
    committed = post.commit(MISSION, LabelMail(text="Feuer"), mail=mail, asked=(asked,))
    assert committed.targets == ("mission:1", f"mail:{mail.id}")
    assert not committed.mail_done
    (recorded,) = post.rows(run)
    assert [one["effect"] for one in recorded.effects] == ["upsert_mission", "label_mail"]
    assert recorded.asked == [{"question": {"question": "find_mission", "number": "990007"}, "answer": None}]
    first, second = post.rows(applied_effect)
    assert (first.by, first.at, first.effect, first.target) == (SCRIPT, NOW, "upsert_mission", "mission:1")
    assert (first.words, first.mail_id, first.run_id) == ("mission 990007: B 3", mail.id, recorded.id)
    assert second.words == "label 'Feuer'"


def test_the_mail_is_done_with_its_last_task(post: Post) -> None:
    mail = post.mail()
    methods = [SCRIPT, DOCUMENT, "method:centre", "method:mission_folder"]
    assert [post.commit(by=by, mail=mail).mail_done for by in methods] == [False, False, False, True]


def test_people_need_no_mail_and_no_task(post: Post) -> None:
    committed = post.commit(MISSION, Notify(audience="all", text="Lage 1"), by="user:mue", key="click-1")
    assert committed.targets == ("mission:1", "notice:1")
    assert not committed.mail_done
    assert post.rows(run) == []
    assert {(row.by, row.mail_id, row.run_id) for row in post.rows(applied_effect)} == {("user:mue", None, None)}


@pytest.mark.parametrize("effect", [FileForm(), ShowInCentre(), LabelMail(text="x"), IgnoreMail(why="x")])
def test_what_needs_a_mail_says_so(post: Post, effect: FileForm | ShowInCentre | LabelMail | IgnoreMail) -> None:
    with pytest.raises(EffectRefused, match="needs a mail"):
        post.commit(effect, by="user:mue", key="click-1")


def test_the_small_ones(post: Post) -> None:
    """Centre, labels and ignoring: each once, however often it is wished."""
    mail = post.mail()
    post.commit(ShowInCentre(), LabelMail(text="Feuer"), LabelMail(text="Feuer"), IgnoreMail(why="test"), mail=mail)
    post.commit(ShowInCentre(), by="method:centre", mail=mail)
    assert [(row.mail_id, row.state, row.at) for row in post.rows(centre_entry)] == [(mail.id, "open", NOW)]
    assert [(row.mail_id, row.text, row.by) for row in post.rows(mail_label)] == [(mail.id, "Feuer", SCRIPT)]


def test_a_refused_effect_takes_the_others_with_it(post: Post) -> None:
    """Refused inside the transaction, when much is written already."""
    mail = post.mail()
    before = post.everything()
    good = (MISSION, FileForm(mission="effect:0"), ShowInCentre())
    with pytest.raises(EffectRefused, match="pager"):
        post.commit(*good, Notify(audience="channel", name="pager", text="x"), mail=mail)
    assert post.everything() == before
    again(post, mail)
    assert post.commit(*good, mail=mail).targets == ("mission:1", "form:1", f"mail:{mail.id}")
    assert post.rows(message_form)[0].register_no == 1


# ---------------------------------------------------------------- handles


@pytest.mark.parametrize("ref", ["mission:1", "mission:2"])
@pytest.mark.parametrize("by", [SCRIPT, "user:mue"])
def test_a_record_that_was_never_shown_to_the_run_is_refused(post: Post, ref: str, by: str) -> None:
    post.commit(MISSION, by="user:mue", key="click-1")
    mail = post.mail(files=[("fax.pdf", b"fax")])
    for effect in (
        FileForm(mission=ref),
        AddToFolder(mission=ref, attachments=(0,)),
        Notify(audience="all", text="x", about=ref),
    ):
        before = post.everything()
        with pytest.raises(EffectRefused, match=f"{ref} was never shown"):
            post.stores.commit.apply(
                Outcome(by=by, effects=(effect,), asked=(post.ask(FindMission(number="1")),)),
                now=NOW,
                snapshot=post.snapshot,
                mail=mail,
                staged=post.staged(mail),
            )
        assert post.everything() == before


def test_what_an_answer_showed_may_be_named(post: Post) -> None:
    post.commit(MISSION, by="user:mue", key="click-1")
    mail = post.mail(files=[("fax.pdf", b"fax")])
    effects = (FileForm(mission="mission:1"), AddToFolder(mission="mission:1", attachments=(0,)))
    post.commit(*effects, mail=mail, asked=(post.ask(RunningMissions()),))
    # … also by the answer about a form that belongs to it
    asked = post.ask(FindForm(), mail)
    assert asked.answer["mission"] == "mission:1"
    post.commit(Notify(audience="all", text="x", about="mission:1"), by=DOCUMENT, mail=mail, asked=(asked,))
    assert post.rows(notice)[0].mission_id == 1


def test_a_record_that_the_run_makes_itself(post: Post) -> None:
    mail = post.mail()
    post.commit(MISSION, FileForm(mission="effect:0"), mail=mail)
    assert post.rows(message_form)[0].mission_id == 1


@pytest.mark.parametrize(
    ("effects", "text"),
    [
        ((FileForm(mission="effect:0"),), "effect:0 has not happened yet"),
        ((FileForm(mission="effect:1"), MISSION), "effect:1 has not happened yet"),
        ((FileForm(), Notify(audience="all", text="x", about="effect:0")), "is a form, not a mission"),
        ((ShowInCentre(), FileForm(mission="effect:0")), "is a mail, not a mission"),
        ((AddToFolder(attachments=()), FileForm(mission="effect:0")), "is a tray, not a mission"),
    ],
)
def test_a_wrong_record_of_its_own_is_refused(post: Post, effects: tuple[FileForm, ...], text: str) -> None:
    mail = post.mail()
    before = post.everything()
    with pytest.raises(EffectRefused, match=text):
        post.commit(*effects, mail=mail)
    assert post.everything() == before


def test_an_attachment_that_the_mail_does_not_have(post: Post) -> None:
    mail = post.mail(files=[("fax.pdf", b"fax")])
    for effect in (FileForm(attachments=(1,)), AddToFolder(attachments=(0, 1))):
        with pytest.raises(EffectRefused, match="the mail has 1 attachments"):
            post.stores.commit.apply(
                Outcome(by=DOCUMENT, effects=(effect,)), now=NOW, snapshot=post.snapshot, mail=mail
            )


# ---------------------------------------------------------------- questions


@pytest.mark.parametrize("known", [False, True])
def test_an_answer_that_has_changed_is_a_conflict(post: Post, known: bool) -> None:
    """Also the answer "none": two accounts with the same alarm never both see a new mission."""
    if known:
        post.commit(MISSION, by="user:mue", key="click-0")
    mail = post.mail()
    for question in (SEEN, RunningMissions()):
        asked = post.ask(question)
        newer = UpsertMission(number="990007", fields=MissionFields(text=type(question).__name__))
        post.commit(newer, by="user:mue", key=type(question).__name__)
        before = post.everything()
        with pytest.raises(Conflict):
            post.stores.commit.apply(
                Outcome(by=SCRIPT, effects=(ShowInCentre(), MISSION), asked=(asked,)),
                now=NOW,
                snapshot=post.snapshot,
                mail=mail,
            )
        assert post.everything() == before
    post.commit(ShowInCentre(), MISSION, mail=mail, asked=(post.ask(SEEN), post.ask(RunningMissions())))
    assert len(post.rows(centre_entry)) == len(post.rows(mission)) == 1


def test_the_form_of_this_mail_is_a_question_of_this_mail(post: Post) -> None:
    mail, other = post.mail(), post.mail()
    asked = post.ask(FindForm(), mail)
    post.commit(FileForm(), by=DOCUMENT, mail=other)
    post.commit(ShowInCentre(), by="method:centre", mail=mail, asked=(asked,))
    post.commit(FileForm(), by=DOCUMENT, mail=mail)
    with pytest.raises(Conflict):
        post.commit(FileForm(subject="x"), mail=mail, asked=(asked,))


def test_a_change_that_no_script_can_see_is_no_conflict(post: Post) -> None:
    post.commit(MISSION, by="user:mue", key="click-0")
    asked = post.ask(SEEN)
    with post.stores.database.write() as tx:
        tx.execute(update(mission).values(opened_at=NOW - MINUTE))
    post.commit(LabelMail(text="x"), mail=post.mail(), asked=(asked,))


def test_a_recorded_question_that_is_none_is_refused(post: Post) -> None:
    with pytest.raises(EffectRefused, match="cannot be asked again"):
        post.commit(ShowInCentre(), mail=post.mail(), asked=(Asked({"question": "who_are_you"}, None),))


def test_an_answer_shows_what_is_committed_and_nothing_else(post: Post) -> None:
    """The answer's shape is a contract with scripts and with recorded runs."""
    fields = MissionFields(title="Brand", keyword="B 3", lat=48.1, lon=11.5, units=("Florian 1",))
    post.commit(UpsertMission(number="990007", fields=fields), mail=post.mail())
    assert post.ask(SEEN).answer == {
        "ref": "mission:1",
        "number": "990007",
        "kind": "real",
        "state": "running",
        "lead": False,
        "as_of": NOW.isoformat(),
        "fields": {
            "title": "Brand",
            "keyword": "B 3",
            "text": None,
            "address": None,
            "lat": 48.1,
            "lon": 11.5,
            "units": ["Florian 1"],
        },
    }


def test_two_who_open_the_same_mission_at_once(post: Post) -> None:
    """Eight mails with the same alarm, each on its own: one creates, the others run again and see it."""
    start, lock, created = threading.Barrier(8), threading.Lock(), list[bool]()
    mails = [post.mail() for _ in range(8)]

    def run_and_commit(mail: MailFacts) -> int:
        start.wait()
        for runs in range(1, 10):
            asked = post.ask(SEEN)
            outcome = Outcome(by=SCRIPT, effects=(MISSION, FileForm(mission="effect:0")), asked=(asked,))
            try:
                post.stores.commit.apply(outcome, now=NOW, snapshot=post.snapshot, mail=mail, key=str(mail.id))
            except Conflict:
                continue
            with lock:
                created.append(asked.answer is None)
            return runs
        raise AssertionError("never through")

    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(run_and_commit, mails))
    assert created.count(True) == 1
    assert max(runs) <= 2
    assert len(post.rows(mission)) == 1
    assert sorted(row.register_no for row in post.rows(message_form)) == list(range(1, 9))


# ---------------------------------------------------------------- once


def test_the_same_try_twice_is_applied_once(post: Post) -> None:
    mail = post.mail(files=[("fax.pdf", b"fax")])
    effects = (
        MISSION,
        FileForm(mission="effect:0", attachments=(0,)),
        Notify(audience="all", text="eins"),
        Notify(audience="all", text="zwei", about="effect:0"),
        SendMail(to=("mue@thw.example",), subject="x", text="x"),
        SendMail(to=("mue@thw.example",), subject="x", text="x", key="once"),
        AddToFolder(mission="effect:0", attachments=(0,)),
    )
    first = post.commit(*effects, mail=mail)
    before = post.everything()
    again(post, mail)
    second = post.commit(*effects, mail=mail)
    assert second.targets == first.targets
    after = post.everything()
    assert after.pop("run") == before.pop("run") + 1
    assert after == before


def test_a_forced_rerun_is_a_new_wish(post: Post) -> None:
    mail = post.mail()
    effects = (Notify(audience="all", text="x"), SendMail(to=("mue@thw.example",), subject="x", text="x", key="once"))
    post.commit(*effects, mail=mail)
    again(post, mail, generation=1)
    post.commit(*effects, mail=mail)
    assert [row.key.rpartition("/")[2] for row in post.rows(applied_effect)] == ["0", "0", "1", "1"]
    assert (len(post.rows(notice)), len(post.rows(act))) == (2, 2)


def test_the_keys(post: Post) -> None:
    """(mail, who, call, running number of that call), or the script's own key for mails; then the generation."""
    mail = post.mail()
    mails = [SendMail(to=("mue@thw.example",), subject=key or "-", text="", key=key) for key in (None, "a/0", None)]
    post.commit(LabelMail(text="a"), *mails, LabelMail(text="b"), mail=mail)
    post.commit(LabelMail(text="c"), by=DOCUMENT, mail=mail)
    assert [row.key.removeprefix(f"mail:{mail.id}/") for row in post.rows(applied_effect)] == [
        "script:onEMail.py/label_mail/0/0",
        "script:onEMail.py/send_mail/0/0",
        "script:onEMail.py/send_mail/key=a/0/0",
        "script:onEMail.py/send_mail/1/0",
        "script:onEMail.py/label_mail/1/0",
        "method:document/label_mail/0/0",
    ]


def test_a_persons_click_counts_once_under_its_key(post: Post) -> None:
    for key, by in [("click-1", "user:mue"), ("click-1", "user:mue"), ("click-2", "user:mue"), ("click-1", "user:alt")]:
        post.commit(Notify(audience="all", text=f"{by} {key}"), by=by, key=key)
    assert [row.text for row in post.rows(notice)] == ["user:mue click-1", "user:mue click-2", "user:alt click-1"]


def test_a_wish_without_a_key_is_never_taken_for_another(post: Post) -> None:
    for text in ("eins", "zwei"):
        post.commit(Notify(audience="all", text=text), by="cli:root")
    assert [row.text for row in post.rows(notice)] == ["eins", "zwei"]


def test_nobody_can_claim_a_mails_keys(post: Post) -> None:
    mail = post.mail()
    post.commit(Notify(audience="all", text="forged"), by="api:monitor", key=f"mail:{mail.id}/{SCRIPT}")
    post.commit(Notify(audience="all", text="real"), mail=mail)
    assert [row.text for row in post.rows(notice)] == ["forged", "real"]


def test_what_is_true_of_the_record_is_true_of_the_entries(post: Post) -> None:
    """Who did it stands at every entry."""
    mail = post.mail()
    post.commit(MISSION, FileForm(), mail=mail)
    entries = [*post.rows(form_entry), *post.rows(mission_entry)]
    assert {(entry.by, entry.at, entry.mail_id) for entry in entries} == {(SCRIPT, NOW, mail.id)}


def test_a_mail_without_a_date_counts_from_its_reception(post: Post) -> None:
    mail = post.mail(date=None, received_at=NOW - MINUTE)
    assert mail.date == NOW - MINUTE
    earlier = replace(mail, reading=replace(mail.reading, date="2026-03-01T12:30:00+01:00"))
    assert earlier.date == NOW - 30 * MINUTE


def test_a_senders_clock_that_runs_ahead_makes_no_later_mail_look_older(post: Post) -> None:
    mail = post.mail(date=NOW + 60 * MINUTE, received_at=NOW)
    assert mail.date == NOW
