"""Mail that leaves: which account sends it, and the act that it becomes."""

from __future__ import annotations

from pathlib import Path

import pytest

from revscript.errors import EffectRefused
from revscript.jail.effects import SendMail, TextFile
from revscript.model import AT_ONCE
from revscript.store.schema import act
from tests.records.kit import NOW, Post, post_in


def mail_to(account: str | None = None, **changes: object) -> SendMail:
    wish = {"to": ("mue@thw.example",), "subject": "Lage", "text": "x", "account": account}
    return SendMail(**(wish | changes))  # pyright: ignore[reportArgumentType]


def lanes(post: Post) -> list[str]:
    return [row.lane for row in post.rows(act)]


def test_an_act_in_the_outbox(post: Post) -> None:
    mail = post.mail(files=[("fax.pdf", b"fax"), ("plan.pdf", b"plan")])
    wish = mail_to(
        cc=("alt@thw.example",),
        html="<p>x</p>",
        in_reply_to="1@leitstelle.example",
        files=(TextFile(name="lage.txt", text="ü"),),
        attachments=(1,),
    )
    assert post.commit(wish, mail=mail).targets == ("act:1",)
    (row,) = post.rows(act)
    assert (row.kind, row.lane, row.level, row.state, row.mail_id) == (
        "mail",
        "smtp:leitstelle",
        "info",
        "pending",
        mail.id,
    )
    assert (row.next_at, (row.not_after - NOW).total_seconds()) == (AT_ONCE, 48 * 3600)
    (attached,) = row.payload.pop("attachments")
    assert (attached["name"], attached["type"]) == ("plan.pdf", "application/pdf")
    assert post.stores.blobs.content(attached["blob_id"]) == b"plan"
    assert row.payload == {
        "account": "leitstelle",
        "from": "einsatz@fuest.example",
        "to": ["mue@thw.example"],
        "cc": ["alt@thw.example"],
        "subject": "Lage",
        "text": "x",
        "html": "<p>x</p>",
        "in_reply_to": "1@leitstelle.example",
        "files": [{"name": "lage.txt", "text": "ü"}],
    }


# ---------------------------------------------------------------- which account


def test_the_mails_own_account_sends(post: Post) -> None:
    post.commit(mail_to(), mail=post.mail())
    assert lanes(post) == ["smtp:leitstelle"]


def test_the_account_that_the_script_names(post: Post) -> None:
    post.commit(mail_to("verteiler"), mail=post.mail())
    assert lanes(post) == ["smtp:verteiler"]


def test_the_default_sender_where_the_own_one_only_receives(tmp_path: Path) -> None:
    with post_in(tmp_path, default_sender="verteiler") as post:
        post.commit(mail_to(), mail=post.mail(account="alarm"))
        post.commit(mail_to(), mail=post.mail())
        assert lanes(post) == ["smtp:verteiler", "smtp:leitstelle"]


def test_a_person_writes_a_mail_that_answers_none(tmp_path: Path) -> None:
    with post_in(tmp_path, default_sender="verteiler") as post:
        post.commit(mail_to(), by="user:mue")
        post.commit(mail_to("leitstelle"), by="user:mue")
        assert lanes(post) == ["smtp:verteiler", "smtp:leitstelle"]
        assert {row.mail_id for row in post.rows(act)} == {None}


@pytest.mark.parametrize("name", ["alarm", "alt", "nobody"])
def test_an_account_that_cannot_send_is_refused(post: Post, name: str) -> None:
    """It only receives, it is switched off, it does not exist: no other one takes its place."""
    mail = post.mail()
    before = post.everything()
    with pytest.raises(EffectRefused, match=f"'{name}' does not exist or cannot send"):
        post.commit(mail_to(name), mail=mail)
    assert post.everything() == before


def test_where_nobody_can_send(post: Post) -> None:
    with pytest.raises(EffectRefused, match="No account can send") as refusal:
        post.commit(mail_to(), mail=post.mail(account="alarm"))
    assert "default_sender" in refusal.value.hint


def test_a_mail_to_nobody_is_refused(post: Post) -> None:
    with pytest.raises(EffectRefused, match="at least one recipient"):
        post.commit(mail_to(to=()), mail=post.mail())
    post.commit(mail_to(to=(), cc=("mue@thw.example",)), mail=post.mail())
    assert len(lanes(post)) == 1


def test_the_settings_say_when_it_is_pointless(tmp_path: Path) -> None:
    with post_in(tmp_path, outbox={"give_up_after": 2}) as post:
        post.commit(mail_to(), mail=post.mail())
        assert (post.rows(act)[0].not_after - NOW).total_seconds() == 2 * 3600
