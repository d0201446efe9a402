"""The files of a case: its mails in their order, its instance folder, and what happens around the mails."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from revscript.jail.effects import MissionFields, MissionKind, UpsertMission
from revscript.jail.limits import Strict
from revscript.snapshot import Instance
from tests.instance import make_instance

ACCOUNT_NAME = "einsatz"
FOLDER = Path(__file__).parent / "cases"
DELIVERED = Path(__file__).parents[2] / "user_scripts" / "onEMail.py"

ACCOUNT: dict[str, Any] = {
    "address": "einsatz@fuest.example",
    "authentication": {"method": "password", "username": "einsatz@fuest.example", "password": "correct-horse"},
    "receiving": {"protocol": "imap", "host": "mail.fuest.example"},
    "sending": {"protocol": "smtp", "host": "mail.fuest.example", "port": 587},
    "methods": {"script": True, "document": True},
}
SETTINGS: dict[str, Any] = {
    "organisation": {"name": "Feuerwehr Musterstadt"},
    "jail": {"wall": 60, "cpu": 60, "children": 2},  # room also on a busy machine
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mission(Strict):
    """A mission that runs before the first mail."""

    number: str
    keyword: str = ""
    kind: MissionKind = "real"
    lead: bool = False

    def effect(self) -> UpsertMission:
        """How it comes about."""
        return UpsertMission(number=self.number, kind=self.kind, fields=MissionFields(keyword=self.keyword or None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Story(Strict):
    """What a mail server and people do.

    `arrives`: minutes after the start, one for each mail (without it, all arrive at once). `touched_before`: number
    of the mail before which somebody works on all forms that are there. `cut`: only the mails' heads are fetched.
    """

    missions: tuple[Mission, ...] = ()
    arrives: tuple[float, ...] = ()
    touched_before: int = 0
    cut: bool = False


_story: TypeAdapter[Story] = TypeAdapter(Story)


def names() -> list[str]:
    """All cases."""
    return sorted(path.name for path in FOLDER.iterdir() if path.is_dir())


def mails(case: Path) -> list[Path]:
    """The case's mails in their order."""
    return sorted(case.glob("mail*.eml"), key=lambda path: int(re.sub(r"\D", "", path.name) or 0))


def story(case: Path) -> Story:
    """The case's story."""
    return _story.validate_python(_content(case / "case.json"))


def instance_of(case: Path, root: Path) -> Instance:
    """Write the case's instance folder."""
    own = case / "script.py"
    script = own if own.exists() else DELIVERED
    instance = make_instance(
        root,
        {ACCOUNT_NAME: ACCOUNT | _content(case / "account.json")},
        {"onEMail.py": script.read_text(encoding="utf-8")},
        SETTINGS | _content(case / "settings.json"),
    )
    if (case / "beside").exists():
        shutil.copytree(case / "beside", instance.user_scripts, dirs_exist_ok=True)
    return instance


def _content(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
