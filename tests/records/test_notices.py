"""Notices: the same key is one notice; nobody is alarmed by an old mail."""

from __future__ import annotations

import pytest

from revscript.errors import EffectRefused
from revscript.jail.effects import Level, MissionFields, Notify, UpsertMission
from revscript.store.record_tables import notice
from tests.records.kit import MINUTE, NOW, Post


def test_a_notice(post: Post) -> None:
    mission = UpsertMission(number="1", fields=MissionFields())
    mail = post.mail()
    told = Notify(audience="role", name="S3", text="Lage\nüben", level="alarm", about="effect:0")
    assert post.commit(mission, told, mail=mail).targets[1] == "notice:1"
    (row,) = post.rows(notice)
    assert (row.audience, row.name, row.text, row.level) == ("role", "S3", "Lage\nüben", "alarm")
    assert (row.mission_id, row.mail_id, row.updates, row.at) == (1, mail.id, 0, NOW)


def test_the_same_key_is_one_notice_updated(post: Post) -> None:
    first = Notify(audience="all", text="Pegel 410", key="pegel")
    second = Notify(audience="role", name="S2", text="Pegel 430", level="important", key="pegel")
    post.commit(first, mail=post.mail())
    mail = post.mail(NOW + MINUTE)
    assert post.commit(second, mail=mail, now=NOW + MINUTE).targets == ("notice:1",)
    (row,) = post.rows(notice)
    assert (row.audience, row.name, row.text, row.level) == ("role", "S2", "Pegel 430", "important")
    assert (row.updates, row.mail_id, row.at) == (1, mail.id, NOW + MINUTE)


def test_without_a_key_each_is_its_own(post: Post) -> None:
    mail = post.mail()
    post.commit(Notify(audience="all", text="eins"), Notify(audience="all", text="eins"), mail=mail)
    post.commit(Notify(audience="all", text="eins"), mail=post.mail())
    assert [row.updates for row in post.rows(notice)] == [0, 0, 0]


def test_a_scripts_key_is_no_running_key(post: Post) -> None:
    """A script cannot name the notice of another mail that has no key."""
    mail = post.mail()
    post.commit(Notify(audience="all", text="eins"), mail=mail)
    internal = post.rows(notice)[0].key
    post.commit(Notify(audience="all", text="zwei", key=internal), mail=post.mail())
    assert [row.text for row in post.rows(notice)] == ["eins", "zwei"]


@pytest.mark.parametrize(
    ("late", "wished", "level"),
    [
        (True, "alarm", "important"),
        (True, "important", "important"),
        (True, "info", "info"),
        (False, "alarm", "alarm"),
    ],
)
def test_a_late_mail_alarms_nobody(post: Post, late: bool, wished: Level, level: str) -> None:
    post.commit(Notify(audience="all", text="x", level=wished), mail=post.mail(late=late))
    (row,) = post.rows(notice)
    assert (row.level, row.wished_level) == (level, wished)


def test_a_person_alarms_whenever_he_wants(post: Post) -> None:
    post.commit(Notify(audience="all", text="x", level="alarm"), by="user:mue")
    assert post.rows(notice)[0].level == "alarm"


def test_a_channel_that_nobody_configured_is_refused(post: Post) -> None:
    before = post.everything()
    with pytest.raises(EffectRefused, match="No channel 'pager' is configured"):
        post.commit(Notify(audience="channel", name="pager", text="x"), by="user:mue")
    assert post.everything() == before


def test_an_older_mail_neither_replaces_nor_lowers_a_notice(post: Post) -> None:
    post.commit(Notify(audience="all", text="B 4", level="alarm", key="1"), mail=post.mail())
    old = post.mail(NOW - MINUTE, late=True)
    assert post.commit(Notify(audience="all", text="B 3", level="alarm", key="1"), mail=old).targets == ("notice:1",)
    (row,) = post.rows(notice)
    assert (row.text, row.level, row.updates) == ("B 4", "alarm", 0)
