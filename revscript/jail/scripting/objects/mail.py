"""The mail that `onEMail` gets. What is missing is empty, never an exception."""

from __future__ import annotations

import datetime
import re
from typing import Any

from revscript.jail.addresses import all_wanted
from revscript.jail.effects import IgnoreMail, LabelMail
from revscript.jail.reading.model import MailAddress
from revscript.jail.scripting.objects import signs
from revscript.jail.scripting.objects.desk import Desk
from revscript.jail.scripting.objects.parts import Address, Headers, wanted_key
from revscript.jail.scripting.offers import offers


@offers(
    "id account received sender from_ to cc reply_to subject date message_id text html headers attachments"
    " defects is_test is_auto_reply is_bounce is_list late is_from age search fingerprint label ignore"
)
class Mail:
    """The mail, read-only.

    `.id .account`: our number of it, the name of the account · `.received`: when it reached us · `.date`:
    what its Date header says, or None; both are times with time zone · `.sender`: the first From address ·
    `.from_ .to .cc .reply_to`: tuples of addresses · `.subject .text .html .message_id`: cleaned text ·
    `.headers["X-Name"]`, `.headers.all(name)` · `.attachments`: a tuple · `.defects`: what is wrong with the
    mail, as texts · `.is_auto_reply .is_bounce .is_list`: what kind of mail it is.
    """

    __slots__ = (
        "_desk", "account", "attachments", "cc", "date", "defects", "from_", "headers", "html", "id",
        "is_auto_reply", "is_bounce", "is_list", "message_id", "received", "reply_to", "sender", "subject",
        "text", "to",
    )  # fmt: skip

    def __init__(self, desk: Desk) -> None:
        reading = desk.reading
        self._desk = desk
        self.id = desk.context.mail_id
        self.account = desk.context.account
        self.received = desk.received
        self.date = desk.date
        self.sender = Address(reading.sender)
        self.from_ = _addresses(reading.from_)
        self.to = _addresses(reading.to)
        self.cc = _addresses(reading.cc)
        self.reply_to = _addresses(reading.reply_to)
        self.subject = reading.subject
        self.message_id = reading.message_id
        self.text = reading.text
        self.html = reading.html
        self.headers = Headers(reading.headers)
        self.attachments = desk.attachments
        self.defects = reading.defects
        self.is_auto_reply = reading.is_auto_reply
        self.is_bounce = reading.is_bounce
        self.is_list = reading.is_list

    def __repr__(self) -> str:
        return f"<mail {self.id}>"

    @property
    def age(self) -> datetime.timedelta:
        """Time between the mail's date (without one: its reception) and this run."""
        return self._desk.now() - (self.date or self.received)

    @property
    def late(self) -> bool:
        """Older than the account's `max_age`; never true while the host's clock cannot be trusted."""
        context = self._desk.context
        return context.clock_trusted and self.age > datetime.timedelta(minutes=context.max_age)

    def is_test(self) -> bool:
        """Whether subject or text carry the marker of a test or exercise (Probealarm, Übungsalarm, …)."""
        return signs.is_test(self.subject, self.text)

    def is_from(self, *senders: Any) -> bool:
        """Whether the mail is from one of these addresses or "@domain"s: exact, never by the shown name.

        With several From addresses all of them must be among the wanted ones. ValueError: neither address nor
        @domain.
        """
        if not senders:
            raise TypeError("name at least one address or @domain")
        return all_wanted((address.address for address in self.from_), map(wanted_key, senders))

    def search(self, regex: str | re.Pattern[str]) -> re.Match[str] | None:
        """The first match of a regular expression in the subject, else in the text, or None."""
        pattern = re.compile(regex)
        return pattern.search(self.subject) or pattern.search(self.text)

    def fingerprint(self, *parts: Any) -> str:
        """A short hash of texts, numbers and dates, the same in every run; without any: of the mail itself.

        Case, white space and the spelling of umlauts make no difference.
        """
        plain = tuple(part.address if type(part) is Address else part for part in parts)
        return signs.fingerprint(plain or (self.sender.address, self.subject, self.text))

    def label(self, text: str) -> None:
        """Put a word on the mail that people see and search for."""
        self._desk.emit(LabelMail(text=self._desk.shown(LabelMail, "text", text)))

    def ignore(self, why: str) -> None:
        """Say that this mail needs nothing, and why; the run ends as `ignored`."""
        self._desk.emit(IgnoreMail(why=self._desk.shown(IgnoreMail, "why", why)))


def _addresses(data: tuple[MailAddress, ...]) -> tuple[Address, ...]:
    return tuple(Address(item) for item in data)
