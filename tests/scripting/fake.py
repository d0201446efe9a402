"""A session that records, with answers given by hand, and short ways to a mail and a run."""

from __future__ import annotations

import dataclasses
import functools
import textwrap
from typing import Any

from revscript.jail.effects import Effect
from revscript.jail.limits import conform_fields
from revscript.jail.questions import FindForm, FindMission, Question
from revscript.jail.reading.model import Attachment, MailAddress, Reading
from revscript.jail.scripting.objects import Desk, Mail, names_for
from revscript.jail.scripting.policy import compile_script
from revscript.jail.scripting.run import run_script
from revscript.jail.wire import LogFrame, RunContext

CONTEXT = RunContext(
    mail_id=7,
    account="leitstelle",
    received="2026-03-01T12:00:30+00:00",
    now="2026-03-01T12:01:00+00:00",
    max_age=30,
    clock_trusted=True,
    time_zone="Europe/Berlin",
    channels=("pager", "siren"),
)


def attachment(name: str, *, inline: bool = False) -> Attachment:
    """An attachment of three bytes."""
    return Attachment(
        name=name,
        original_name=name,
        type="application/pdf",
        declared_type="application/octet-stream",
        size=3,
        sha256="a" * 64,
        inline=inline,
    )


def reading(**changes: Any) -> Reading:
    """An alarm mail."""
    sender = MailAddress(address="Alarm@Leitstelle.example", name="Leitstelle Musterland")
    mail = Reading(
        subject="B 3 Lagerhalle",
        sender=sender,
        from_=(sender,),
        to=(MailAddress(address="einsatz@fuest.example"),),
        date="2026-03-01T12:00:00+00:00",
        message_id="990007@leitstelle.example",
        headers=(("Received", "eins"), ("X-Prio", "1"), ("received", "zwei")),
        text="Einsatznummer : T 3.1 990007\nStichwort : B 3\n",
        attachments=(attachment("fax.pdf"), attachment("logo.png", inline=True), attachment("plan.pdf")),
        defects=("no charset",),
    )
    return dataclasses.replace(mail, **changes)


def mission(number: str = "990007", ref: str = "mission:5", **changes: Any) -> dict[str, Any]:
    """An answer about a running mission."""
    fields = {"title": "Brand", "keyword": "B 2", "address": "Beispielweg 7", "units": ["Florian 1"]}
    answer = {
        "ref": ref,
        "number": number,
        "kind": "real",
        "state": "running",
        "lead": False,
        "as_of": "2026-03-01T11:00:00+00:00",
        "fields": fields | changes.pop("fields", {}),
    }
    return answer | changes


def form(**changes: Any) -> dict[str, Any]:
    """An answer about a message form."""
    answer = {
        "ref": "form:3",
        "number": 12,
        "state": "to_review",
        "priority": "immediate",
        "subject": "Störung",
        "key": "bmz",
        "mission": None,
        "touched": False,
    }
    return answer | changes


class FakeSession:
    """Records effects, questions and log; answers from dictionaries."""

    def __init__(self) -> None:
        self.effects: list[Any] = []
        self.questions: list[Question] = []
        self.lines: list[str] = []
        self.missions: dict[str, dict[str, Any]] = {}
        self.forms: dict[str | None, dict[str, Any]] = {}
        self.tables: dict[str, str] = {}

    def emit(self, effect: Effect) -> int:
        """Keep."""
        conform_fields(effect)
        self.effects.append(effect)
        return len(self.effects) - 1

    def ask(self, question: Question) -> Any:
        """Answer by hand."""
        self.questions.append(question)
        if type(question) is FindMission:
            return self.missions.get(question.number)
        if type(question) is FindForm:
            return self.forms.get(question.key)
        return list(self.missions.values())

    def table(self, file: str) -> str:
        """A table's text by hand."""
        return self.tables[file]

    def log(self, text: str) -> None:
        """Keep; what the wire refuses is an error here too."""
        conform_fields(LogFrame(text=text))
        self.lines.append(text)


class Stage:
    """The names of a script, for tests that call them directly."""

    def __init__(self, context: RunContext = CONTEXT, **changes: Any) -> None:
        self.session = FakeSession()
        desk = Desk(reading(**changes), context, self.session)
        self.mail = Mail(desk)
        names = names_for(desk)
        self.documents = names["documents"]
        self.missions = names["missions"]
        self.notify = names["notify"]
        self.send_mail = names["send_mail"]
        self.log = names["log"]
        self.now = names["now"]

    @property
    def effect(self) -> Any:
        """The last effect."""
        return self.session.effects[-1]


def run(
    body: str, session: FakeSession | None = None, libraries: dict[str, str] | None = None, **changes: Any
) -> FakeSession:
    """Run a script, given as a whole or as the body of onEMail; `libraries` are texts by name."""
    session = session or FakeSession()
    codes = {name: functools.partial(compile_script, text, library=True) for name, text in (libraries or {}).items()}
    source = textwrap.dedent(body)
    if "def onEMail" not in source:
        source = "def onEMail(mail):\n" + textwrap.indent(source.strip("\n"), "    ")
    run_script(compile_script(source), reading(**changes), CONTEXT, session, codes, tuple(session.tables))
    return session


def value_of(expression: str) -> str:
    """What an expression is in a script, as text."""
    return run(f"log({expression})").lines[-1]
