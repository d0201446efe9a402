"""Every limit of every effect is broken once: on the wire, and by methods and people who never cross it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from revscript.errors import EffectRefused
from revscript.jail.effects import LabelMail, Notify, SendMail, UpsertMission
from revscript.jail.limits import conform_fields
from revscript.jail.plain import to_plain
from revscript.model import Asked, Outcome
from revscript.records.context import MailFacts
from revscript.sandbox.conversation import _Bad, _parse
from tests.records.kit import DOCUMENT, NOW, Post, post_in
from tests.records.violations import EFFECTS, bad_effects, good

SHOWN = (Asked({"question": "running_missions"}, [{"ref": "mission:1"}]),)
BAD = [pytest.param(effect, field, id=what) for what, effect, field in bad_effects()]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Post, MailFacts]]:
    """One post for all: nothing is ever written into it."""
    root: Path = tmp_path_factory.mktemp("limits")
    with post_in(root) as post:
        yield post, post.mail(files=[("fax.pdf", b"fax")])


def frame(effect: dict[str, Any]) -> bytes:
    """What a compromised child would send; NaN as Python writes it."""
    return json.dumps({"t": "effect", "effect": effect}).encode()


def test_all_effects_are_tried() -> None:
    tried = {type(param.values[0]) for param in BAD}
    assert tried == set(EFFECTS)
    assert len(BAD) > 400


@pytest.mark.parametrize("cls", EFFECTS)
def test_what_keeps_the_limits_passes(cls: type[Any]) -> None:
    """Otherwise the refusals below would prove nothing."""
    effect = good(cls)
    conform_fields(effect)
    assert _parse(frame(to_plain(effect))).effect == effect


@pytest.mark.parametrize(("effect", "field"), BAD)
def test_the_wire_refuses(effect: Any, field: str) -> None:
    with pytest.raises(_Bad) as refusal:
        _parse(frame(to_plain(effect)))
    assert field in str(refusal.value) or "Invalid JSON" in str(refusal.value)


@pytest.mark.parametrize(("effect", "field"), BAD)
def test_the_commit_refuses_whoever_wants_it(shared: tuple[Post, MailFacts], effect: Any, field: str) -> None:
    post, mail = shared
    before = post.everything()
    for by in (DOCUMENT, "user:mue"):
        outcome = Outcome(by=by, effects=(LabelMail(text="good"), effect), asked=SHOWN)
        with pytest.raises(EffectRefused) as refusal:
            post.stores.commit.apply(outcome, now=NOW, snapshot=post.snapshot, mail=mail)
        assert f"effect 1 ({effect.effect}): {field}: " in str(refusal.value)
    assert post.everything() == before


@pytest.mark.parametrize("cls", EFFECTS)
def test_the_wire_refuses_more_keys_than_there_are(cls: type[Any]) -> None:
    plain = to_plain(good(cls))
    with pytest.raises(_Bad, match="urgent"):
        _parse(frame(plain | {"urgent": True}))


@pytest.mark.parametrize("missing", ["effect", "text", "audience"])
def test_the_wire_refuses_fewer_keys_than_are_needed(missing: str) -> None:
    plain = {"effect": "notify", "audience": "all", "text": "x"}
    assert _parse(frame(plain)).effect == Notify(audience="all", text="x")
    del plain[missing]
    with pytest.raises(_Bad, match=missing):
        _parse(frame(plain))


def test_nested_keys_count_too() -> None:
    for effect, inner in [(good(UpsertMission), "fields"), (good(SendMail), "files")]:
        plain = to_plain(effect)
        (plain[inner][0] if inner == "files" else plain[inner])["more"] = 1
        with pytest.raises(_Bad, match="more"):
            _parse(frame(plain))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000, '"48"', "true"])
def test_the_wire_refuses_what_is_no_finite_number(number: str) -> None:
    body = b'{"t":"effect","effect":{"effect":"upsert_mission","number":"1","fields":{"lat":%s}}}'
    assert _parse(body % b"48").effect.fields.lat == 48.0
    with pytest.raises(_Bad):
        _parse(body % number.encode())
