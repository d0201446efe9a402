"""The demo's plot: twelve mails in their order, and what must have become of each, and of everything, in the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from revscript.model import Exit, Method

STAYS = ""  # `Scene.settled` of a mail that is left untouched on its server

_FORM: Mapping[Method, Exit] = {"document": "done"}
_STAFF: Mapping[Method, Exit] = {**_FORM, "centre": "done", "mission_folder": "done"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A mail, to whom it goes, and what is expected: the exit of each method, effects in words, the settling.

    `age`: how old the mail's date says that it is. `tries`: of the script.
    """

    title: str
    file: str
    account: str
    exits: Mapping[Method, Exit]
    effects: tuple[str, ...] = ()
    settled: str
    age: timedelta = timedelta()
    tries: int = 1


SCENES = (
    Scene(
        title="an alarm of the control centre",
        file="01-alarm.eml",
        account="leitstelle",
        exits={"script": "done", **_FORM},
        effects=(
            "mission E 26 004711: B 3 Hafenstraße 12 a, Musterstadt",
            "notice (alarm) to all: B 3: Hafenstraße 12 a, Musterstadt (E 26 004711)",
        ),
        settled="seen",
    ),
    Scene(
        title="the same alarm by a second way, on a second account",
        file="02-zweiter-weg.eml",
        account="stab",
        exits={"script": "done", **_STAFF},
        effects=("label 'schon bekannt'", "shown in the communication centre"),
        settled="move:Erledigt",
    ),
    Scene(
        title="the follow-up alarm: a higher keyword, more units",
        file="03-folgealarm.eml",
        account="leitstelle",
        exits={"script": "done", **_FORM},
        effects=("notice (important) to role S3: Folgealarm E 26 004711: Stichwort: B 3 → B 4",),
        settled="seen",
    ),
    Scene(
        title="a partner's report with attachments, which is answered by mail",
        file="04-anhaenge.eml",
        account="stab",
        exits={"script": "done", **_STAFF},
        effects=("2 attachments into the running mission's folder", "mail to fachberater@thw-musterstadt.example"),
        settled="move:Erledigt",
    ),
    Scene(
        title="a test alarm",
        file="05-probealarm.eml",
        account="leitstelle",
        exits={"script": "done", **_FORM},
        effects=("label 'Probealarm'", "notice (info) to all: INF PROBEALARM"),
        settled="seen",
    ),
    Scene(
        title="a report without a number, on which the script fails: three tries, then quarantine",
        file="06-ohne-nummer.eml",
        account="stab",
        exits={"script": "failed", **_STAFF},
        settled=STAYS,
        tries=3,
    ),
    Scene(
        title="a charset that nobody knows, on the same account: it overtakes the one that waits",
        file="07-kaputter-zeichensatz.eml",
        account="stab",
        exits={"script": "done", **_STAFF},
        effects=("mail to leitwarte@wasserwerk.example: 'Eingang bestätigt: Löschwasser Hafenstraße'",),
        settled="move:Erledigt",
    ),
    Scene(
        title="a stranger who pretends to be the control centre",
        file="08-fremder-absender.eml",
        account="leitstelle",
        exits={"script": "ignored", **_FORM},
        effects=("ignored: nicht von der Leitstelle",),
        settled="seen",
    ),
    Scene(
        title="a weather warning",
        file="09-unwetter.eml",
        account="wetter",
        exits={"script": "done", "centre": "done"},
        effects=("label 'Unwetter Stufe 3'", "notice (important) to all: Unwetterwarnung Stufe 3"),
        settled="delete",
    ),
    Scene(
        title="an alarm that comes seven hours late, and knows less than we do",
        file="10-verspaetet.eml",
        account="leitstelle",
        exits={"script": "done", **_FORM},
        effects=("label 'verspätet'", "notice (alarm) to all: Verspätet eingegangen: B 2"),
        settled="seen",
        age=timedelta(hours=7),
    ),
    Scene(
        title="the all-clear for the weather warning, as HTML",
        file="11-entwarnung.eml",
        account="wetter",
        exits={"script": "done", "centre": "done"},
        effects=("label 'Entwarnung'",),
        settled="delete",
    ),
    Scene(
        title="an automatic reply, which is not answered",
        file="12-abwesenheit.eml",
        account="stab",
        exits={"script": "ignored", **_STAFF},
        effects=("ignored: automatische Antwort",),
        settled="move:Erledigt",
    ),
)
