"""Recorded effects, questions and answers in words. What another version of revscript recorded is only named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, cast

from pydantic import TypeAdapter, ValidationError

from revscript.jail.effects import Effect
from revscript.jail.limits import Tagged

_effect: TypeAdapter[Effect] = TypeAdapter(Annotated[Effect, Tagged("effect")])
MOST_ANSWERS = 5  # of a list that are told one by one


def effect_words(effect: Mapping[str, Any]) -> str:
    """A recorded effect as a line."""
    try:
        return _effect.validate_python(effect).words()
    except ValidationError:
        return str(effect.get("effect"))


def asked_words(asked: Mapping[str, Any]) -> str:
    """A recorded question with its answer as a line."""
    question: dict[str, Any] = asked.get("question") or {}
    return f"{_question(question)} → {_answer(asked.get('answer'))}"


def _question(question: Mapping[str, Any]) -> str:
    match question.get("question"):
        case "find_mission":
            return f"mission {question.get('number')}?"
        case "running_missions":
            return "running missions?"
        case "find_form":
            key = question.get("key")
            return f"message form with key {key!r}?" if key else "message form of this mail?"
        case other:
            rest = ", ".join(f"{name} {value}" for name, value in question.items() if name != "question")
            return f"{str(other).replace('_', ' ')}{f' ({rest})' if rest else ''}?"


def _answer(answer: Any) -> str:
    if isinstance(answer, list):
        rows = cast("list[Any]", answer)
        told = [_record(row) for row in rows[:MOST_ANSWERS]]
        more = [f"{len(rows) - len(told)} more"] if len(rows) > len(told) else []
        return ", ".join([*told, *more]) or "none"
    return "none" if answer is None else _record(answer)


def _record(row: Any) -> str:
    if not isinstance(row, dict):
        text = str(row)
        return text if len(text) <= 80 else f"{text[:80]}…"
    plain = cast("dict[str, Any]", row)
    state = f" ({plain['state']})" if plain.get("state") else ""
    ref, _, number = str(plain.get("ref", "")).partition(":")
    if ref == "mission":
        return f"mission {plain.get('number') or f'no. {number}'}{state}"
    if ref == "form":
        return f"message form no. {plain.get('number')}{state}"
    return f"{ref} {number}{state}".strip() or "yes"
