"""The one way to change anything: an outcome's effects become rows and acts, in one transaction, once.

Inside it the run's questions are asked again: when an answer has changed meanwhile, nothing is written (`Conflict`) and
the run is to be repeated. Each effect has an idempotency key that ends in the task's generation; a key that is there
already is not applied again.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, cast

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, bindparam, select

from revscript.errors import EffectRefused
from revscript.jail import effects, questions
from revscript.jail.effects import Effect
from revscript.jail.limits import Tagged, conform_fields
from revscript.jail.questions import Question
from revscript.model import Asked, Outcome, canonical_json
from revscript.records import centre, folder, forms, missions, notices, outgoing
from revscript.records.context import Context, MailFacts
from revscript.snapshot import Snapshot
from revscript.store.blobs import Blobs, StagedBlob
from revscript.store.database import Database
from revscript.store.ledger import Ledger, RunRecord
from revscript.store.outbox import Outbox
from revscript.store.schema import applied_effect

_question: TypeAdapter[Question] = TypeAdapter(Annotated[Question, Tagged("question")])

_applied = select(applied_effect.c.target).where(applied_effect.c.key == bindparam("key"))

_ANSWERS: dict[type[Any], Callable[[Connection, Any, int | None], Any]] = {
    questions.FindMission: missions.find,
    questions.RunningMissions: missions.running,
    questions.FindForm: forms.find,
}

_RECORDS: dict[type[Any], Callable[[Context, Any], str]] = {
    effects.IgnoreMail: centre.ignore,
    effects.LabelMail: centre.label,
    effects.ShowInCentre: centre.show,
    effects.FileForm: forms.file,
    effects.UpsertMission: missions.upsert,
    effects.OpenMission: missions.open_,
    effects.AddToFolder: folder.add,
    effects.Notify: notices.notify,
}


class Conflict(Exception):
    """An answer that the run was built on has changed: run again."""


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit did: whether the mail is through with it, and the records it touched."""

    mail_done: bool
    targets: tuple[str, ...]


class Commit:
    """Writes outcomes. Also answers questions, so that asking and asking again are one piece of code."""

    def __init__(self, database: Database, blobs: Blobs, ledger: Ledger, outbox: Outbox) -> None:
        self._database = database
        self._blobs = blobs
        self._ledger = ledger
        self._outbox = outbox

    def answer(self, question: Question, mail_id: int | None) -> Any:
        """Answer a run's question from committed rows, as plain data."""
        with self._database.read() as tx:
            return _ask(tx, question, mail_id)

    def apply(
        self,
        outcome: Outcome,
        *,
        now: datetime,
        snapshot: Snapshot,
        mail: MailFacts | None = None,
        staged: Mapping[int, StagedBlob] | None = None,
        record: RunRecord | None = None,
        key: str = "",
    ) -> Committed:
        """Commit an outcome; with `record` it is a task's try, and the task is done with it.

        `staged` holds the attachments that the effects name. People and the API give a `key` of their own, under which
        their repetition is recognised; without one, each wish is a new one. Raises Conflict, EffectRefused, StoreError;
        then nothing was written.
        """
        check(outcome, mail)
        with self._database.write() as tx:
            _ask_again(tx, outcome.asked, mail.id if mail else None)
            context = Context(tx, outcome.by, now, snapshot, self._blobs, mail, staged or {})
            if record:
                context.run_id = self._ledger.record_run(tx, record)
                prefix = f"mail:{record.task.mail_id}/{outcome.by}"
            else:
                prefix = f"{outcome.by}/{key or secrets.token_hex(8)}"
            generation = record.task.generation if record else 0
            for effect, effect_key in zip(outcome.effects, _keys(outcome, prefix, generation), strict=True):
                context.key = effect_key
                context.targets.append(self._apply_once(context, effect))
            done = self._ledger.finish(tx, record.task, outcome.exit, now) if record else False
        return Committed(done, tuple(context.targets))

    def _apply_once(self, context: Context, effect: Effect) -> str:
        known = context.tx.scalar(_applied, {"key": context.key})
        if known is not None:
            return known
        if isinstance(effect, effects.SendMail):
            target = outgoing.send(context, effect, self._outbox)
        else:
            target = _RECORDS[type(effect)](context, effect)
        context.insert(
            applied_effect,
            key=context.key,
            by=context.by,
            at=context.now,
            effect=effect.effect,
            words=effect.words(),
            target=target,
            mail_id=context.mail_id,
            run_id=context.run_id,
        )
        return target


def check(outcome: Outcome, mail: MailFacts | None) -> None:
    """Every effect against its limits, whoever made it, and its handles against this run; else EffectRefused."""
    seen = {ref for asked in outcome.asked for ref in _refs(asked.answer)}
    attachments = len(mail.reading.attachments) if mail else 0
    for number, effect in enumerate(outcome.effects):
        try:
            conform_fields(effect)
        except (TypeError, ValueError) as error:
            raise EffectRefused(f"effect {number} ({effect.effect}): {error}") from None
        if any(index >= attachments for index in effects.attachment_indexes(effect)):
            raise EffectRefused(f"effect {number} ({effect.effect}): the mail has {attachments} attachments")
        for name in ("mission", "about"):
            ref = getattr(effect, name, None)
            if ref is not None and not ref.startswith("effect:") and ref not in seen:
                raise EffectRefused(f"effect {number} ({effect.effect}): {ref} was never shown to this run")


def _refs(answer: Any) -> list[str]:
    rows = cast("list[Any]", answer if isinstance(answer, list) else [answer])
    found = [row.get(name) for row in rows if row for name in ("ref", "mission")]
    return [ref for ref in found if isinstance(ref, str)]


def _keys(outcome: Outcome, prefix: str, generation: int) -> list[str]:
    """(mail, who, call, running number of that call), or the script's own key for mails; then the generation."""
    numbers: Counter[str] = Counter()
    keys: list[str] = []
    for effect in outcome.effects:
        own = effect.key if isinstance(effect, effects.SendMail) else None
        name = f"key={own}" if own is not None else str(numbers[effect.effect])
        numbers[effect.effect] += own is None
        keys.append(f"{prefix}/{effect.effect}/{name}/{generation}")
    return keys


def _ask(tx: Connection, question: Question, mail_id: int | None) -> Any:
    return _ANSWERS[type(question)](tx, question, mail_id)


def _ask_again(tx: Connection, asked: tuple[Asked, ...], mail_id: int | None) -> None:
    for one in asked:
        try:
            question = _question.validate_python(one.question)
        except ValidationError as error:
            raise EffectRefused(f"A recorded question cannot be asked again: {error}") from None
        if canonical_json(_ask(tx, question, mail_id)) != canonical_json(one.answer):
            raise Conflict
