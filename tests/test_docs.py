"""The reference pages hold what the code offers: every name, signature, default and module, and nothing else."""

from __future__ import annotations

import inspect
import json
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic.fields import FieldInfo

from revscript.config import Account, OAuth2Authentication, Pop3, Settings, not_yet, read_settings
from revscript.config.base import Model
from revscript.config.findings import models_of
from revscript.jail import wire
from revscript.jail.effects import MAX_RECIPIENTS, Notify, UpsertMission
from revscript.jail.scripting import policy
from revscript.jail.scripting.guards import BUILTINS
from revscript.jail.scripting.modules import MODULES
from revscript.jail.scripting.objects import Desk, names_for
from revscript.jail.scripting.objects.documents import _PRIORITIES
from revscript.jail.scripting.offers import OFFERS
from revscript.model import FAILED_EXITS, Exit
from revscript.sandbox.linking import MOST_LIBRARIES
from revscript.snapshot import MAX_FILE
from tests.scripting.fake import CONTEXT, FakeSession, reading, run

DOCS = Path(__file__).parents[1] / "docs"
SCRIPTS = (DOCS / "scripts.md").read_text()
ACCOUNTS = (DOCS / "accounts.md").read_text()

# --- scripts.md -------------------------------------------------------------------------------------

API = {cls.__name__: cls for cls in OFFERS if cls.__module__.startswith("revscript.")}
HEADINGS = {
    "`mail`": "Mail",
    "An address": "Address",
    "An attachment": "Attachment",
    "The headers": "Headers",
    "`documents`": "Documents",
    "A document": "Document",
    "`missions`": "Missions",
    "A mission": "Mission",
    "A folder": "Folder",
    "A change": "Change",
    "`notify`": "Notices",
    "A table": "Table",
}


def cells(heading: str) -> list[list[str]]:
    """The rows of the table below a heading, without its first line."""
    section = re.split(r"^#+ ", SCRIPTS.partition(f"# {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    rows = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def names_in(heading: str) -> list[str]:
    return [name for row in cells(heading) for name in re.findall(r"`\.?([^`]+)`", row[0])]


def written(name: str, value: Any) -> str:
    """A name as the page shows it: functions with their arguments."""
    if not callable(value):
        return name
    signature = inspect.signature(value)
    plain = [one.replace(annotation=one.empty) for one in signature.parameters.values() if one.name != "self"]
    return name + str(inspect.Signature(plain))


def test_every_class_has_its_table() -> None:
    assert set(API) == set(HEADINGS.values())


@pytest.mark.parametrize("heading", HEADINGS)
def test_names_of_an_object(heading: str) -> None:
    cls = API[HEADINGS[heading]]
    assert sorted(names_in(heading)) == sorted(written(name, getattr(cls, name)) for name in OFFERS[cls])


def test_names_without_import() -> None:
    offered = names_for(Desk(reading(), CONTEXT, FakeSession()))
    assert sorted(names_in("Names without import")) == sorted(written(name, one) for name, one in offered.items())


def test_modules() -> None:
    listed = {name.strip("`"): names.strip("`").split() for name, names in cells("Modules")}
    assert listed == {name: dir(module) for name, module in MODULES.items()}


def test_builtins() -> None:
    listed = SCRIPTS.partition("Builtins:\n\n```\n")[2].partition("```")[0].split()
    assert sorted(listed) == sorted(set(BUILTINS) - {"__import__"})


def test_exits() -> None:
    listed = {row[0].strip("`"): row[2] for row in cells("How a run ends")}
    assert tuple(listed) == typing.get_args(Exit)
    assert {
        name for name, fate in listed.items() if fate in ("tried again, then quarantine", "the same")
    } == FAILED_EXITS


def test_words() -> None:
    levels, kinds = (typing.get_type_hints(one)[name] for one, name in ((Notify, "level"), (UpsertMission, "kind")))
    words = [*_PRIORITIES, *_PRIORITIES.values(), *typing.get_args(levels), *typing.get_args(kinds)]
    assert not [word for word in words if f"`{word}`" not in SCRIPTS]


def test_limits() -> None:
    jail = Settings().jail
    assert [row[1].partition(" (")[0].partition(";")[0] for row in cells("Limits")] == [
        f"{jail.wall:g} s, {jail.cpu} s, {jail.memory} MiB",
        f"{wire.MAX_EFFECTS}",
        f"{wire.MAX_EFFECT_BYTES >> 20} MiB",
        f"{wire.MAX_LOG_LINES} lines, {wire.MAX_LOG_BYTES >> 10} KiB",
        f"{policy.MAX_SOURCE >> 10} KiB",
        f"{MAX_FILE // 1_000_000} MB",
        f"{MAX_RECIPIENTS}",
    ]
    assert f"up to {MOST_LIBRARIES} in all" in SCRIPTS
    assert Settings().tries == (0, 1, 10)
    assert "at once and 1 and 10 minutes later" in SCRIPTS


def test_the_example_does_what_it_says() -> None:
    example = re.findall(r"```python\n(.*?)```", SCRIPTS, re.DOTALL)[0]
    assert wishes(example, text="Einsatznummer: 2026-0815\nStichwort: B 3\n") == [
        "mission 2026-0815: B 3",
        "message form with the mail's subject, immediate, 2 attachments, for the mission above",
        "2 attachments into the folder of the mission above",
        "notice (alarm) to all: 2026-0815: neuer Einsatz: Stichwort: B 3; Meldung eingetragen",
    ]
    assert wishes(example, text="?") == [
        "message form with the mail's subject, flash, 2 attachments",
        "notice (alarm) to all: Alarm without a number: B 3 Lagerhalle",
    ]
    assert wishes(example, is_auto_reply=True) == ["ignored: not from the control centre"]


def test_the_example_with_library_and_table() -> None:
    folder = DOCS.parent / "user_scripts" / "examples"
    script, library, table = (folder / name for name in ("by_keyword.py", "alarm_text.py", "tables/keywords.csv"))
    for file in (script, library, table):
        assert f"`{file.relative_to(folder)}`" in SCRIPTS
        assert re.search(rf"```(python)?\n{re.escape(file.read_text())}```", SCRIPTS), file
    session = FakeSession()
    session.tables = {table.name: table.read_text()}
    for text in ("Stichwort: H 1\nAdresse: Beispielweg 7", "Stichwort: B 9", "Stichwort: B 3\nProbealarm"):
        run(script.read_text(), session, {library.stem: library.read_text()}, text=text)
    assert [effect.words() for effect in session.effects] == [
        "notice (info) to all: H 1 Beispielweg 7",
        "notice (alarm) to all: B 9",
        "notice (info) to all: B 3",
    ]


def wishes(script: str, **mail: Any) -> list[str]:
    return [effect.words() for effect in run(script, **mail).effects]


# --- accounts.md ------------------------------------------------------------------------------------


def fields(model: type[Model], before: str, seen: set[type[Model]]) -> Iterator[tuple[str, FieldInfo, type[Model]]]:
    """Every setting with its place, each model once."""
    seen.add(model)
    for name, field in model.model_fields.items():
        place = before + (field.alias or name)
        yield place, field, model
        for below in models_of(field.annotation):
            if below not in seen:
                yield from fields(below, f"{place}.", seen)


EVERY = [*fields(Account, "", set()), *fields(Settings, "", set())]
CELLS = re.findall(r"^\| `([^`]+)` \| (.+?) \| (.+?) \| (.+) \|$", ACCOUNTS, re.MULTILINE)
ROWS = [(place, meaning, default) for place, meaning, default, _ in CELLS]


def test_every_setting_is_named() -> None:
    assert not [place for place, _, _ in EVERY if f"`{place}`" not in ACCOUNTS]
    assert not [place for place, _, _ in ROWS if place not in {every for every, _, _ in EVERY}]


def test_meanings_and_defaults() -> None:
    told = {place: (meaning, default) for place, meaning, default in ROWS}
    for place, field, model in EVERY:
        if place not in told or model in (Pop3, OAuth2Authentication):
            continue
        meaning, default = told[place]
        assert meaning.startswith(field.description or "?"), place
        if field.default_factory is None:
            assert default == ("required" if field.is_required() else f"`{json.dumps(field.default)}`"), place


def test_limits_are_told() -> None:
    allowed = {place: cell for place, _, _, cell in CELLS}
    for place, field, model in EVERY:
        if place not in allowed or model in (Pop3, OAuth2Authentication):
            continue
        for limit in (getattr(one, name, None) for one in field.metadata for name in ("ge", "le")):
            assert limit is None or re.search(rf"\b{limit}\b", allowed[place]), f"{place}: {limit}"


def test_variables_of_the_example_are_settings() -> None:
    environ = {
        name: value.strip("'") for name, value in re.findall(r"^ {4}(REVSCRIPT_\w+)=('.+?'|\S+)", ACCOUNTS, re.M)
    }
    settings, findings = read_settings(DOCS / "no-settings.json", environ)
    assert (len(environ), findings) == (4, [])
    assert settings
    assert (settings.web.port, settings.time_zone, settings.tries) == (9000, "Europe/Vienna", (0, 2, 10))


def test_what_is_refused_is_named_as_such() -> None:
    refused = ACCOUNTS.partition("## Not available yet")[2]
    assert not [gap.place for gap in (*not_yet.ACCOUNT, *not_yet.SETTINGS) if f"`{gap.place}`" not in refused]
