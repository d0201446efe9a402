"""What is wrong in a file, said to the administrator: one Finding for each place, all of them at once.

SECURITY: a value is shown only where it cannot be a secret. Below `authentication`, and for keys that we do
not know, somebody may have put a password into the wrong place.
"""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from revscript.config.base import Model
from revscript.config.secrets import MASK
from revscript.errors import ConfigError
from revscript.model import encodable

Place = tuple[int | str, ...]
Severity = Literal["error", "warning"]
_ADDRESSES_OF_SERVICES = (("url",), ("webhook",), ("proxy",))  # what is no URL there may still be its login
MAX_SHOWN = 80  # characters of a value in a message


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong in a file; with an error the file is not used, with a warning it is.

    `file` is relative to the instance, `place` a JSON path like `receiving.port` (or "line 3, column 5"),
    `value` what stands there as JSON (masked where it may be a secret), `text` what is wrong and allowed.
    """

    file: str
    place: str
    value: str
    text: str
    severity: Severity = "error"

    def __post_init__(self) -> None:
        for name in ("file", "place", "value", "text"):  # names and values may hold what no output takes
            object.__setattr__(self, name, encodable(getattr(self, name)))

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.place, self.text) if part)


def raise_errors(findings: Iterable[Finding]) -> None:
    """Raise one ConfigError that lists every error among the findings, if there is one."""
    if errors := [str(finding) for finding in findings if finding.severity == "error"]:
        raise ConfigError("\n".join(errors))


def shown(value: Any) -> str:
    """Return a value as short JSON, for a message; of a URL only scheme and host, the rest may be a key."""
    text = re.sub("://.*@", f"://{MASK}@", json.dumps(value, ensure_ascii=False, default=str))
    text = re.sub(r'(://[^/?#"\s]*)[/?#][^"\s]+', r"\1/…", text)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


def explain(error: ValidationError, root: type[Model], file: str, hidden: Collection[str] = ()) -> list[Finding]:
    """Translate pydantic's errors into findings, in the order of the file.

    `hidden` are words that the models know but that are not to be offered.
    """
    return [_finding(details, root, file, hidden) for details in error.errors(include_url=False)]


def _finding(details: ErrorDetails, root: type[Model], file: str, hidden: Collection[str]) -> Finding:
    path, known, below = _walk(root, details["loc"])
    context = details.get("ctx", {})
    if details["type"].startswith("union_tag"):
        path = (*path, context["discriminator"].strip("'"))
    path = (*path, *filter(None, context.get("at", "").split(".")))
    value = _value(details, path)
    text = _text(details, path, known, below, hidden)
    if value and value != MASK and details["type"] in _TELLS:
        text += f", not {value}"
    return Finding(file, written(path), value, text)


def location(error: ErrorDetails, root: type[Model]) -> tuple[int | str, ...]:
    """Return the JSON path of one of pydantic's errors, without the names of union branches."""
    return _walk(root, error["loc"])[0]


def unquoted(text: str) -> str:
    """Return a message without its words about quotes, for values that stand in no file."""
    return text.replace(" without quotes", "").replace(" in quotes", "")


def written(path: Place) -> str:
    """Return a path as the administrator reads it: `receiving.folders[0]`."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return text.removeprefix(".")


def _value(details: ErrorDetails, path: Place) -> str:
    kind = details["type"]
    value = details.get("ctx", {}).get("tag") if kind == "union_tag_invalid" else details["input"]
    if kind in ("missing", "union_tag_not_found") or isinstance(value, dict | list):
        return ""
    secret = kind == "extra_forbidden" or ("authentication" in path and kind != "union_tag_invalid")
    secret |= path[-1:] in _ADDRESSES_OF_SERVICES and "://" not in str(value)
    return MASK if secret else shown(value)


# --- where ------------------------------------------------------------------------------------------


def _walk(root: type[Model], location: Sequence[int | str]) -> tuple[Place, list[type[Model]], list[type[Model]]]:
    """Follow an error's location: the JSON path without pydantic's union tags, the models that hold its end, and
    those that may stand there.

    Where a key leads to a union, pydantic names the branch next; that name is not in the file.
    """
    path: Place = ()
    models, holders = [root], [root]
    for key in location:
        if len(models) > 1:
            models = [model for model in models if _is_branch(model, str(key))]
            continue
        holders = models
        path = (*path, key)
        if isinstance(key, str):
            models = [found for model in models for found in _below(model, key)]
    return path, holders, models


def _is_branch(model: type[Model], tag: str) -> bool:
    kind = model.model_fields.get("protocol") or model.model_fields.get("method")
    return tag in typing.get_args(kind.annotation) if kind else tag in model.model_fields


def _below(model: type[Model], key: str) -> Iterator[type[Model]]:
    for name, field in model.model_fields.items():
        if key == (field.alias or name):
            yield from models_of(field.annotation)


def models_of(annotation: Any) -> Iterator[type[Model]]:
    """Yield the models that a setting of this type may hold."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield annotation
    for part in typing.get_args(annotation):
        yield from models_of(part)


# --- what -------------------------------------------------------------------------------------------

_WORDS = {
    "string_type": "must be text in quotes",
    "int_type": "must be a whole number without quotes",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number without quotes",
    "finite_number": "must be a number",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list [ … ]",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "too_short": "must have at least {min_length} entry",
    "too_long": "must have at most {max_length} entries",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
}
_OBJECT = frozenset({"dict_type", "model_type", "model_attributes_type"})
_TELLS = frozenset(_WORDS) - {"string_too_short", "string_too_long"} | _OBJECT | {"refused"}
MAX_NAMES = 12  # of known settings in one message


def _text(
    details: ErrorDetails,
    path: Place,
    known: list[type[Model]],
    below: list[type[Model]],
    hidden: Collection[str],
) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "extra_forbidden":
        return "is not a known setting" + _known(str(path[-1]), known)
    if kind == "missing":
        return "is missing" + _description(str(path[-1]), known)
    if kind == "literal_error":
        value = details["input"] if "authentication" not in path else None
        return "must be " + _choice(value, _listed(str(context["expected"])), hidden)
    if kind == "union_tag_invalid":
        return "must be " + _choice(context["tag"], _listed(context["expected_tags"]), hidden)
    if kind == "union_tag_not_found":
        return "is missing: " + _choice(None, list(_tags(below)), hidden)
    if kind in _OBJECT:
        return f'must be an object like {{ "{next(iter(below[0].model_fields))}": … }}' if path else "must be an object"
    if kind == "too_short" and context["min_length"] != 1:
        return f"must have at least {context['min_length']} entries"
    return _WORDS[kind].format(**context) if kind in _WORDS else details["msg"]


def _known(key: str, models: list[type[Model]]) -> str:
    """What an unknown key may have been meant to be."""
    names = [field.alias or name for model in models for name, field in model.model_fields.items()]
    if owners := _owners(key, models):
        return f"; it belongs into {' or '.join(owners)}"
    if meant := _meant(key, names):
        return meant
    names = [name for name in names if not name.startswith("$")]
    if not names:
        return "; nothing can be set here"
    return f"; known here: {', '.join(names)}" if len(names) <= MAX_NAMES else ""


def _owners(key: str, models: list[type[Model]]) -> list[str]:
    """The settings of these models that have a setting of this name one level below."""
    return [
        field.alias or name
        for model in models
        for name, field in model.model_fields.items()
        if any(key in below.model_fields for below in models_of(field.annotation))
    ]


def _description(key: str, models: list[type[Model]]) -> str:
    """What is to be written for a missing key."""
    for model in models:
        for name, field in model.model_fields.items():
            if key == (field.alias or name) and field.description:
                return f": {field.description[0].lower()}{field.description[1:].removesuffix('.')}"
    return ""


def _tags(models: list[type[Model]]) -> Iterator[str]:
    for model in models:
        kind = model.model_fields.get("protocol") or model.model_fields.get("method")
        yield from typing.get_args(kind.annotation) if kind else ()


def _listed(expected: str) -> list[str]:
    return [word.strip(" '") for word in expected.replace(" or ", ", ").split(",")]


def _choice(value: Any, words: list[str], hidden: Collection[str]) -> str:
    words = [word for word in words if word not in hidden]
    allowed = [{"True": "true", "False": "false"}.get(word, f'"{word}"') for word in words]
    text = " or ".join(filter(None, (", ".join(allowed[:-1]), allowed[-1])))
    return text if value is None else f"{text}, not {shown(value)}{_meant(value, words)}"


def _meant(word: Any, names: Iterable[str]) -> str:
    """The name that a mistyped word comes closest to."""
    wanted = re.sub(r"[-\s]", "_", str(word)).lower()
    close = get_close_matches(wanted, list(names), 1, 0.6)
    return f'; did you mean "{close[0]}"?' if close else ""
