"""`allowed_senders` and `skip`: what they keep from the script, and that nothing passes by pretending."""

from __future__ import annotations

import io
from typing import Any

import pytest

from revscript.config import Account
from revscript.jail.effects import IgnoreMail, LabelMail
from revscript.jail.limits import conform_fields
from revscript.jail.reading.model import MailAddress, Reading
from revscript.jail.reading.read import read_with_files
from revscript.methods import centre, document, mission_folder, script
from revscript.methods.filters import kept_from_script
from revscript.methods.view import View
from tests.scripting.fake import CONTEXT

ALLOWED = ["alarm@leitstelle.example", "@Stab.Example"]


def account(**changes: Any) -> Account:
    return Account.model_validate({"address": "einsatz@fuest.example", **changes})


def from_head(head: str) -> Reading:
    """What the reader makes of a mail with these header lines."""
    raw = head.replace("\n", "\r\n").encode() + b"\r\nSubject: B 3\r\n\r\ntext"
    return read_with_files(io.BytesIO(raw), len(raw), 0)[0]


def is_kept(head: str, *allowed: str) -> bool:
    return kept_from_script(from_head(head), account(allowed_senders=allowed or ALLOWED)) is not None


@pytest.mark.parametrize(
    "head",
    [
        "From: alarm@leitstelle.example",
        "From: ALARM@Leitstelle.EXAMPLE",
        "From: Leitstelle <alarm@leitstelle.example>",
        "From: anybody <who.ever@stab.example>",
        "From: a@STAB.example, alarm@leitstelle.example",
        "From: alarm@leitstelle.example.",
    ],
)
def test_allowed(head: str) -> None:
    assert not is_kept(head)


@pytest.mark.parametrize(
    "head",
    [
        "From: eve@evil.example",
        'From: "alarm@leitstelle.example" <eve@evil.example>',
        "From: alarm@leitstelle.example <eve@evil.example>",
        "From: eve@evil.example (alarm@leitstelle.example)",
        "From: alarm@leitstelle.example, eve@evil.example",
        "From: eve@evil.example, alarm@leitstelle.example",
        "From: team: alarm@leitstelle.example, eve@evil.example;",
        "From: alarm@leitstelle.example\nFrom: eve@evil.example",
        "From: eve@evil.example\nFrom: alarm@leitstelle.example",
        "From: alarm@leitstelle.example\nFROM: alarm@leitstelle.example",
        "From: alarm@leitstelle.example.evil.example",
        "From: alarm@evil-leitstelle.example",
        "From: alarm@sub.leitstelle.example",
        "From: x@sub.stab.example",
        "From: x@stab.example@evil.example",
        "From: alarm@leitstelle.example@evil.example",
        "From: <alarm@leitstelle.example@evil.example>",
        'From: "alarm@leitstelle.example"@evil.example',
        "From: <@leitstelle.example:eve@evil.example>",
        "From: alarm@leıtstelle.example",
        "From: alarm@leitstelle.example\u200b",
        "From: alarm@xn--leitstelle.example",
        "From: eve@evil.example\nSender: alarm@leitstelle.example",
        "From: eve@evil.example\nReply-To: alarm@leitstelle.example",
        "From: =?utf-8?q?alarm=40leitstelle=2Eexample?= <eve@evil.example>",
        "From: =?utf-8?q?alarm=40leitstelle=2Eexample?=",
        "From: @",
        "From: alarm",
        "From:",
        "X-From: alarm@leitstelle.example",
    ],
)
def test_not_allowed(head: str) -> None:
    assert is_kept(head)


def test_a_domain_is_compared_as_a_whole() -> None:
    assert not is_kept("From: a@stab.example", "@stab.example")
    assert is_kept("From: a@b.stab.example", "@stab.example")
    assert not is_kept("From: a@müller.example", "@xn--mller-kva.example")


def test_no_list_is_no_limit() -> None:
    assert kept_from_script(from_head("From: eve@evil.example"), account()) is None


def test_an_address_without_a_local_part_is_no_other_address() -> None:
    empty = Reading(from_=(MailAddress(address="@"), MailAddress(address="@.")))
    assert kept_from_script(empty, account(allowed_senders=ALLOWED)) is not None


@pytest.mark.parametrize(
    ("flag", "skip", "label"),
    [
        ("is_auto_reply", "auto_reply", "automatic reply"),
        ("is_bounce", "bounce", "delivery failure report"),
        ("is_list", "list", "mailing list"),
    ],
)
def test_skip(flag: str, skip: str, label: str) -> None:
    flags: dict[str, Any] = {flag: True}
    reading = Reading(**flags)
    kept = kept_from_script(reading, account(skip=[skip]))
    assert kept is not None
    assert kept.effects[0] == LabelMail(text=label)
    others = [one for one in ("auto_reply", "bounce", "list") if one != skip]
    assert kept_from_script(reading, account(skip=others)) is None
    assert kept_from_script(Reading(), account(skip=[skip])) is None


def test_what_is_kept_is_visible() -> None:
    kept = kept_from_script(from_head("From: Eve <eve@evil.example>"), account(allowed_senders=ALLOWED))
    assert kept is not None
    why = "not an allowed sender: eve@evil.example"
    assert (kept.by, kept.exit, kept.trouble) == ("method:script", "ignored", None)
    assert kept.effects == (LabelMail(text="not an allowed sender"), IgnoreMail(why=why))
    assert kept.log == (f"kept from the script: {why}",)


def test_many_long_senders_fit() -> None:
    sender = MailAddress(address="x" * 900 + "@evil.example")
    kept = kept_from_script(Reading(from_=(sender,) * 900), account(allowed_senders=ALLOWED))
    assert kept is not None
    for effect in kept.effects:
        conform_fields(effect)
    assert len(kept.log[0]) < 6000


def test_the_script_is_not_run_and_the_others_are_not_touched() -> None:
    allowed = account(allowed_senders=ALLOWED, methods={"script": True, "document": True, "centre": True})
    reading = from_head("From: eve@evil.example")
    view = View(allowed, CONTEXT, script=None, ask=lambda _: None)
    no_sandbox: Any = None  # it would be an error to ask it
    assert script.run(reading, view, no_sandbox).exit == "ignored"
    assert [effect.effect for effect in document.run(reading, view).effects] == ["file_form"]
    assert [effect.effect for effect in centre.run(reading, view).effects] == ["show_in_centre"]
    assert mission_folder.run(reading, view).exit == "done"
    # … and one that is allowed finds out that there is no script.
    assert script.run(from_head("From: a@stab.example"), view, no_sandbox).exit == "refused"
