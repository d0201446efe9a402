"""`documents`: the message forms (Vordruck) that scripts file and look up."""

from __future__ import annotations

import dataclasses
from typing import Any

from revscript.jail.effects import MAX_ATTACHMENTS, FileForm
from revscript.jail.limits import conform_fields
from revscript.jail.plain import from_plain
from revscript.jail.questions import FindForm, FormAnswer
from revscript.jail.scripting.objects.desk import Desk
from revscript.jail.scripting.objects.mail import Mail
from revscript.jail.scripting.objects.missions import Mission, Missions, ref_of
from revscript.jail.scripting.offers import offers

# The priority words of the German form beside our own.
_PRIORITIES = {"einfach": "routine", "sofort": "immediate", "blitz": "flash", "staatsnot": "emergency"}


@offers("number state priority subject key mission")
class Document:
    """A message form, with what this run has said about it laid over what is stored.

    `.mission` is the running mission that it belongs to, or None.
    """

    __slots__ = ("_asked", "_desk", "_missions", "_stored", "_wish", "_wished_mission", "key")

    def __init__(self, desk: Desk, missions: Missions, key: str | None) -> None:
        self.key = key
        self._desk = desk
        self._missions = missions
        self._wish: FileForm | None = None
        self._wished_mission: Mission | None = None
        self._asked = False
        self._stored: FormAnswer | None = None

    def __repr__(self) -> str:
        return f"<document {self.key or self._desk.context.mail_id}>"

    @property
    def number(self) -> int | None:
        """The number in the register; None while the form is only wished: it is drawn after the run."""
        stored = self.stored()
        return stored.number if stored else None

    @property
    def state(self) -> str:
        """draft, to_review, to_route, to_send, returned, done or filed."""
        stored = self.stored()
        return stored.state if stored else "to_review"

    @property
    def priority(self) -> str:
        """routine, immediate, flash or emergency."""
        stored = self.stored()
        return self._said("priority") or (stored.priority if stored else "routine")

    @property
    def subject(self) -> str:
        """The subject; of a form that says none, the mail's."""
        stored = self.stored()
        return self._said("subject") or (stored.subject if stored else self._desk.reading.subject)

    @property
    def mission(self) -> Mission | None:
        """The mission of the form."""
        stored = self.stored()
        return self._wished_mission or self._missions.by_ref(stored.mission if stored else None)

    def stored(self) -> FormAnswer | None:
        """What the host knows; asked when it is needed, so that filing a form alone asks nothing."""
        if not self._asked:
            answer = self._desk.ask(FindForm(key=self.key))
            self._stored = None if answer is None else from_plain(FormAnswer, answer)
            self._asked = True
        return self._stored

    def wish(self, form: FileForm, mission: Mission | None) -> None:
        """Lay what the script says over what it said before."""
        said = {name: value for name in ("subject", "priority") if (value := getattr(form, name)) is not None}
        self._wish = dataclasses.replace(self._wish or form, **said)
        self._wished_mission = mission or self._wished_mission

    def exists(self) -> bool:
        """Whether there is such a form, stored or wished."""
        return self._wish is not None or self.stored() is not None

    def _said(self, name: str) -> str | None:
        # Once a person has worked on the form, its words stand.
        if self._wish is None or (self._stored is not None and self._stored.touched):
            return None
        return getattr(self._wish, name)


@offers("incoming find")
class Documents:
    """The message forms of this command post."""

    __slots__ = ("_by_key", "_desk", "_missions")

    def __init__(self, desk: Desk, missions: Missions) -> None:
        self._desk = desk
        self._missions = missions
        self._by_key: dict[str | None, Document] = {}

    def __repr__(self) -> str:
        return "<documents>"

    def incoming(
        self,
        mail: Mail | None = None,
        *,
        key: str | None = None,
        subject: str | None = None,
        text: str | None = None,
        priority: str | None = None,
        mission: Mission | None = None,
        sender_unit: str | None = None,
        addressee: str | None = None,
        distribution: Any = (),
        attachments: Any = True,
    ) -> Document:
        """The incoming message form of this mail: made, or filled while nobody has touched it.

        What is not said is taken from the mail. The same `key` is the same form, also for later mails.
        `priority` is routine, immediate, flash or emergency (einfach, sofort, blitz, staatsnot);
        `distribution` names functions ("S3"); `attachments` is True for all, False for none, or a list of
        them.
        """
        if mail is not None and type(mail) is not Mail:
            raise TypeError(f"mail: a {type(mail).__name__} was given where the mail is needed")
        shown = self._desk.shown
        form = FileForm(
            key=key,
            subject=shown(FileForm, "subject", subject),
            text=shown(FileForm, "text", text),
            priority=_priority(priority),
            mission=ref_of("mission", mission),
            sender_unit=shown(FileForm, "sender_unit", sender_unit),
            addressee=shown(FileForm, "addressee", addressee),
            distribution=self._desk.shown_list(FileForm, "distribution", distribution),
            attachments=self._files(attachments),
        )
        conform_fields(form)
        self._desk.emit(form)
        document = self._document(key)
        document.wish(form, mission)
        return document

    def find(self, key: str | None = None) -> Document | None:
        """The form with this key (without one: the form of this mail), or None."""
        document = self._document(key)
        return document if document.exists() else None

    def _document(self, key: str | None) -> Document:
        if key not in self._by_key:
            self._by_key[key] = Document(self._desk, self._missions, key)
        return self._by_key[key]

    def _files(self, attachments: Any) -> tuple[int, ...]:
        indexes = self._desk.indexes(True if type(attachments) is Mail else attachments)
        if len(indexes) > MAX_ATTACHMENTS:
            self._desk.log(f"only {MAX_ATTACHMENTS} of {len(indexes)} attachments go with the form")
        return indexes[:MAX_ATTACHMENTS]


def _priority(word: Any) -> Any:
    if type(word) is not str:
        return word
    word = word.strip().casefold()
    return _PRIORITIES.get(word, word)
