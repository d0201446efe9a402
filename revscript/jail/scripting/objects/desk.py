"""What the objects of one run share: the mail's data, the clock, the way to the host."""

from __future__ import annotations

import datetime
import typing
from collections.abc import Iterable
from typing import Any

from revscript.jail.effects import Effect
from revscript.jail.limits import Text, conform_fields
from revscript.jail.questions import Question
from revscript.jail.reading.model import Reading
from revscript.jail.scripting import modules, texts
from revscript.jail.scripting.objects.parts import Attachment
from revscript.jail.scripting.offers import kind_of
from revscript.jail.scripting.session import Session
from revscript.jail.wire import MAX_LOG_BYTES, RunContext


class Desk:
    """The run's desk. Scripts never see it; of its methods they get `now` and `log`."""

    __slots__ = ("_now", "attachments", "context", "date", "reading", "received", "session", "tables", "zone")

    def __init__(self, reading: Reading, context: RunContext, session: Session, tables: tuple[str, ...] = ()) -> None:
        self.reading = reading
        self.context = context
        self.session = session
        self.tables = tables  # files
        self.zone = self._zone()
        self._now = self.local(context.now)
        self.received = self.local(context.received)
        self.date = self.local(reading.date) if reading.date else None
        self.attachments = tuple(Attachment(index, part) for index, part in enumerate(reading.attachments))

    def __repr__(self) -> str:
        return "<revscript>"

    def _zone(self) -> datetime.tzinfo:
        try:
            return modules.zone(self.context.time_zone)
        except ValueError as error:
            self.session.log(f"{error}; times are shown in UTC")
            return datetime.UTC

    def local(self, moment: str) -> datetime.datetime:
        """An ISO 8601 time as the command post's clocks show it."""
        return datetime.datetime.fromisoformat(moment).astimezone(self.zone)

    def now(self) -> datetime.datetime:
        """The run's time in the settings' time zone: the same in every line, and when the run is repeated."""
        return self._now

    def log(self, *values: Any, sep: str = " ", end: str = "") -> None:
        """A line for the protocol of this run: the values as text. `print` is the same function."""
        text = sep.join(str(value) for value in values) + end
        self.session.log(texts.block(text[:MAX_LOG_BYTES]))

    def emit(self, effect: Effect) -> int:
        """Check a wish, so that an error has the script's own line, and send it; returns its number."""
        conform_fields(effect)
        return self.session.emit(effect)

    def ask(self, question: Question) -> Any:
        """Check a question and ask it."""
        conform_fields(question)
        return self.session.ask(question)

    def shown(self, cls: type, field: str, value: Any) -> Any:
        """A text for people, made to fit the field; other values pass: the field's own check refuses them."""
        if type(value) is not str:
            return value
        limit = texts.limit_of(cls, field)
        text = texts.block(value) if type(limit) is Text else texts.one_line(value)
        short = texts.cut(text, limit.max)
        if short != text:
            self.session.log(f"{field} was cut from {len(text)} to {limit.max} characters")
        return short

    def shown_list(self, cls: type, field: str, value: Any) -> tuple[Any, ...]:
        """Several short texts for people; one alone may be given as it is, blank ones are left out."""
        values = (value,) if type(value) is str else as_tuple(field, value)
        return tuple(text for text in (self.shown(cls, field, item) for item in values) if text != "")

    def indexes(self, what: Any) -> tuple[int, ...]:
        """Attachments by number. True: all that count as attachments; else those that are named."""
        if what is True:
            with_inline = self.context.attachments_inline
            return tuple(part.index for part in self.attachments if with_inline or not part.inline)
        if what is None or what is False:
            return ()
        given = (what,) if type(what) is Attachment else as_tuple("attachments", what)
        for item in given:
            if type(item) is not Attachment:
                raise TypeError(f"attachments: a {type(item).__name__} was given where an attachment is needed")
        return tuple(dict.fromkeys(item.index for item in given))


def as_tuple(field: str, value: Any) -> tuple[Any, ...]:
    """Any list-like value as a tuple; None is empty, a text is a mistake."""
    if value is None:
        return ()
    if kind_of(value) in (str, bytes, dict) or not isinstance(value, Iterable):
        raise TypeError(f"{field}: a {kind_of(value).__name__} was given where a list is needed")
    return tuple(typing.cast("Iterable[Any]", value))
