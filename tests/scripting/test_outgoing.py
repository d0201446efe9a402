"""Notices, mails, the protocol and the clock."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from revscript.jail.effects import Notify, SendMail, TextFile
from tests.scripting.fake import Stage


def test_notices() -> None:
    s = Stage()
    made, _ = s.missions.upsert("1")
    s.notify.all("Feuer\nzwei", level="alarm", key="k", about=made)
    assert s.effect == Notify(audience="all", text="Feuer\nzwei", level="alarm", key="k", about="effect:0")
    s.notify.role("S3", "x")
    assert s.effect == Notify(audience="role", name="S3", text="x")
    s.notify.person("mue", "x", level="important")
    assert s.effect == Notify(audience="person", name="mue", text="x", level="important")
    s.notify.channel("siren", "x" * 3000)
    assert (s.effect.audience, s.effect.name, len(s.effect.text)) == ("channel", "siren", 2000)


def test_unknown_channel_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no channel 'sirene'; there are: 'pager', 'siren'"):
        Stage().notify.channel("sirene", "x")


def test_wrong_notices() -> None:
    notify = Stage().notify
    with pytest.raises(ValueError, match="level: 'urgent' is not one of 'info', 'important', 'alarm'"):
        notify.all("x", level="urgent")
    with pytest.raises(ValueError, match="name: say whom"):
        notify.role("", "x")
    with pytest.raises(TypeError, match="about: a str was given"):
        notify.all("x", about="T 1")
    with pytest.raises(TypeError, match="text: a int was given"):
        notify.all(5)


def test_mail_to_one() -> None:
    s = Stage()
    s.send_mail("a@b.example", "Betreff\nzwei", "Zeile\r\nzwei")
    assert s.effect == SendMail(to=("a@b.example",), subject="Betreff zwei", text="Zeile\nzwei")


def test_mail_with_everything() -> None:
    s = Stage()
    s.send_mail(
        [s.mail.sender, "a@b.example"], "x", "y", html="<p>", cc=s.mail.to, in_reply_to=s.mail, account="zwei",
        key="k", attachments=[s.mail.attachments[2], ("liste.csv", "1;2\r\n")],
    )  # fmt: skip
    assert s.effect == SendMail(
        to=("Alarm@Leitstelle.example", "a@b.example"), cc=("einsatz@fuest.example",), subject="x", text="y",
        html="<p>", attachments=(2,), files=(TextFile(name="liste.csv", text="1;2\n"),),
        in_reply_to="990007@leitstelle.example", account="zwei", key="k",
    )  # fmt: skip


def test_attachments_in_all_shapes() -> None:
    s = Stage()
    for given, indexes, files in (
        (s.mail.attachments[0], (0,), 0),
        (("a.txt", "x"), (), 1),
        (s.mail.attachments, (0, 1, 2), 0),
        (s.mail, (0, 2), 0),
        (None, (), 0),
    ):
        s.send_mail("a@b.example", "x", "y", attachments=given)
        assert (s.effect.attachments, len(s.effect.files)) == (indexes, files)


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"to": []}, ValueError, "no recipient"),
    ({"to": "Name <a@b.example>"}, ValueError, "to: 'Name <a@b.example>' is not a mail address"),
    ({"to": "a@b.example\nBcc: x@y.example"}, ValueError, "is not a mail address"),
    ({"to": 5}, TypeError, "to: a int was given"),
    ({"cc": [None]}, TypeError, "cc: a NoneType was given"),
    ({"key": "a\nb"}, ValueError, "key: text must be one line"),
    ({"in_reply_to": "a\nb"}, ValueError, "in_reply_to"),
    ({"account": ""}, ValueError, "account"),
    ({"attachments": ["a.txt"]}, TypeError, "a str was given where an attachment"),
    ({"attachments": [("a", "b", "c")]}, ValueError, "give (name, text)"),
    ({"attachments": [("a.txt", "x" * 200_001)]}, ValueError, "files: text: text must have at most"),
    ({"attachments": [("a.txt", b"x")]}, TypeError, "files: text: a bytes was given"),
    ({"sign": True}, TypeError, "unexpected keyword"),
]


@pytest.mark.parametrize(("more", "error", "text"), WRONG)
def test_wrong_mails(more: dict[str, Any], error: type[Exception], text: str) -> None:
    s = Stage()
    with pytest.raises(error) as caught:
        s.send_mail(**({"to": "a@b.example", "subject": "x", "text": "y"} | more))
    assert text in str(caught.value)
    assert s.session.effects == []


def test_log() -> None:
    s = Stage()
    s.log("a", 1, None, sep="-")
    s.log()
    s.log("\x1b[31mrot\ud800\u202e", end="\n")
    s.log("x" * 100_000)
    assert s.session.lines[:3] == ["a-1-None", "", " [31mrot?\n"]
    assert len(s.session.lines[3]) == 65536


def test_now() -> None:
    now = Stage().now()
    assert now == datetime.datetime(2026, 3, 1, 12, 1, tzinfo=datetime.UTC)
    assert f"{now:%H:%M}" == "13:01"
