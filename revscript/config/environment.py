"""Settings by environment: `REVSCRIPT_WEB__PORT=9000` counts more than `"web": {"port": …}` in settings.json.

The path of the setting in capitals, `__` between its levels. Where a setting is text, the variable is that text;
elsewhere its value is JSON. An empty variable is none. REVSCRIPT_HOME and REVSCRIPT_SECRET_… are no settings.

A wrong variable is left aside and told, so that one of them never costs the rest of the settings.
"""

from __future__ import annotations

import copy
import json
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from revscript.config import not_yet
from revscript.config.findings import Finding, explain, location, models_of, unquoted
from revscript.config.secrets import MASK
from revscript.config.settings import Settings

FILE = "environment"  # the file of these findings
_PREFIX = "REVSCRIPT_"
_NO_SETTINGS = ("REVSCRIPT_HOME", "REVSCRIPT_SECRET_")

Keys = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable that names a setting: its path in the settings and its value."""

    name: str
    path: Keys
    value: Any


def settings_with(data: dict[str, Any], environ: Mapping[str, str]) -> tuple[Settings | None, list[Finding]]:
    """Return the settings of a file's content and of the environment; what is wrong in the file is told elsewhere.

    None when the file is wrong. A wrong variable is not used.
    """
    variables, findings = _variables(environ)
    while True:
        merged = _merged(data, variables)
        gaps = [(gap.place, gap) for gap in not_yet.refused(_merged({}, variables), not_yet.SETTINGS, FILE)]
        told = [(one, gap) for place, gap in gaps for one in variables if ".".join(one.path) == place]
        settings = None
        try:
            settings = Settings.model_validate_json(json.dumps(merged), strict=True)
        except ValidationError as error:
            told += _blamed(error, variables)
        if not told:
            return settings, sorted(findings, key=lambda finding: finding.place)
        findings += _once(told)
        wrong = {one.name for one, _ in told}
        variables = [one for one in variables if one.name not in wrong]


def _once(told: Sequence[tuple[Variable, Finding]]) -> Iterator[Finding]:
    """One finding a variable, at its name."""
    for name, (variable, finding) in {one.name: (one, finding) for one, finding in reversed(told)}.items():
        place = ".".join(variable.path)
        text = unquoted(finding.text)
        if not finding.place.startswith(place):  # the other half of an object
            text = f"{finding.place}: {text}; set {variable_of(finding.place.split('.'))}, too"
        elif inside := finding.place.removeprefix(place).lstrip("."):
            text = f"{inside}: {text}"
        yield Finding(FILE, name, finding.value, text)


# --- which variables, and what they say ---------------------------------------------------------------


def _variables(environ: Mapping[str, str]) -> tuple[list[Variable], list[Finding]]:
    known = dict(_settings(Settings))
    variables: list[Variable] = []
    findings: list[Finding] = []
    for name in sorted(environ):
        if not name.startswith(_PREFIX) or name.startswith(_NO_SETTINGS) or not environ[name]:
            continue
        if name not in known:
            findings.append(Finding(FILE, name, MASK, "names no setting" + _meant(name, known)))
            continue
        path, is_text = known[name]
        variables.append(Variable(name, path, environ[name] if is_text else _parsed(environ[name])))
    return variables, findings


def _settings(model: type[Any], before: Keys = ()) -> Iterator[tuple[str, tuple[Keys, bool]]]:
    """Every setting: its variable, its path and whether it is text."""
    for name, field in model.model_fields.items():
        if field.alias:
            continue  # "$schema" is for editors
        path = (*before, name)
        below = list(models_of(field.annotation))
        yield variable_of(path), (path, _is_text(field.annotation))
        for one in below:
            yield from _settings(one, path)


def variable_of(path: Sequence[str]) -> str:
    """Return the variable of a setting: `REVSCRIPT_WEB__PORT` for ("web", "port")."""
    return _PREFIX + "__".join(path).upper()


def _is_text(annotation: Any) -> bool:
    kinds = {kind for kind in typing.get_args(annotation) or (annotation,) if kind is not type(None)}
    return all(kind is str or typing.get_args(kind)[:1] == (str,) for kind in kinds)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return text  # the setting's own message says what it must be


def _meant(name: str, known: Mapping[str, Any]) -> str:
    names = [one.removeprefix(_PREFIX) for one in known]
    if close := get_close_matches(name.removeprefix(_PREFIX), names, 1, 0.7):
        return f"; did you mean {_PREFIX}{close[0]}?"
    return '; settings are named like REVSCRIPT_WEB__PORT for "web": {"port": …}'


# --- what they make of the settings ---------------------------------------------------------------------


def _merged(data: dict[str, Any], variables: Sequence[Variable]) -> dict[str, Any]:
    merged = copy.deepcopy(data)
    for variable in sorted(variables, key=lambda one: len(one.path)):
        place: Any = merged
        for key in variable.path[:-1]:
            if not isinstance(place.get(key), dict):
                place[key] = {}
            place = place[key]
        place[variable.path[-1]] = variable.value
    return merged


def _blamed(error: ValidationError, variables: Sequence[Variable]) -> list[tuple[Variable, Finding]]:
    """Pair the errors with the variables that brought them; those of the file stay out."""
    findings = explain(error, Settings, FILE)
    pairs: list[tuple[Variable, Finding]] = []
    for details, finding in zip(error.errors(include_url=False), findings, strict=True):
        pairs += [(variable, finding) for variable in variables if _brought(variable, details)]
    return pairs


def _brought(variable: Variable, details: ErrorDetails) -> bool:
    path = tuple(map(str, location(details, Settings)))
    shared = min(len(path), len(variable.path))
    if path[:shared] == variable.path[:shared]:
        return True
    # A variable that sets one half of an object lacks the other half: REVSCRIPT_HEARTBEAT__EVERY without a URL.
    return details["type"] == "missing" and path[:-1] == variable.path[:-1]
