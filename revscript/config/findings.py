"""What is wrong in a file, said to the administrator: one Finding for each place, all of them at once.

SECURITY: a value is shown only where it cannot be a secret. Below `authentication`, and for keys that we do
not know, somebody may have put a password into the wrong place.
"""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from revscript.config.base import Model
from revscript.config.secrets import MASK
from revscript.errors import ConfigError

Place = tuple[int | str, ...]
Severity = Literal["error", "warning"]
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

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.place, self.text) if part)


def raise_errors(findings: Iterable[Finding]) -> None:
    """Raise one ConfigError that lists every error among the findings, if there is one."""
    if errors := [str(finding) for finding in findings if finding.severity == "error"]:
        raise ConfigError("\n".join(errors))


def shown(value: Any) -> str:
    """Return a value as short JSON, for a message; the login in `://user:password@host` is masked."""
    text = re.sub("://.*@", f"://{MASK}@", json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


def explain(error: ValidationError, root: type[Model], file: str) -> list[Finding]:
    """Translate pydantic's errors into findings, in the order of the file."""
    return [_finding(details, root, file) for details in error.errors(include_url=False)]


def _finding(details: ErrorDetails, root: type[Model], file: str) -> Finding:
    path, known = _walk(root, details["loc"])
    if details["type"].startswith("union_tag"):
        path = (*path, details.get("ctx", {})["discriminator"].strip("'"))
    value = _value(details, path)
    text = _text(details, path, known)
    if value and value != MASK and details["type"] in _TELLS:
        text += f", not {value}"
    return Finding(file, written(path), value, text)


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
    return MASK if secret else shown(value)


# --- where ------------------------------------------------------------------------------------------


def _walk(root: type[Model], location: Sequence[int | str]) -> tuple[Place, list[type[Model]]]:
    """Follow an error's location: the JSON path without pydantic's union tags, and the models at its end.

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
    return path, holders


def _is_branch(model: type[Model], tag: str) -> bool:
    kind = model.model_fields.get("protocol") or model.model_fields.get("method")
    return tag in typing.get_args(kind.annotation) if kind else tag in model.model_fields


def _below(model: type[Model], key: str) -> Iterator[type[Model]]:
    for name, field in model.model_fields.items():
        if key == (field.alias or name):
            yield from _models(field.annotation)


def _models(annotation: Any) -> Iterator[type[Model]]:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _models(part)


# --- what -------------------------------------------------------------------------------------------

_WORDS = {
    "missing": "is missing",
    "string_type": "must be text in quotes",
    "int_type": "must be a whole number without quotes",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number without quotes",
    "finite_number": "must be a number",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list [ … ]",
    "dict_type": "must be an object {{ … }}",
    "model_type": "must be an object {{ … }}",
    "model_attributes_type": "must be an object {{ … }}",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "too_short": "must have at least {min_length} entry",
    "too_long": "must have at most {max_length} entries",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
}
_TELLS = frozenset(_WORDS) - {"missing", "string_too_short", "string_too_long"} | {"refused"}


def _text(details: ErrorDetails, path: Place, known: list[type[Model]]) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "extra_forbidden":
        names = [field.alias or name for model in known for name, field in model.model_fields.items()]
        return "is not a known setting" + _meant(path[-1], names)
    if kind == "literal_error":
        return _choice(details["input"] if "authentication" not in path else None, str(context["expected"]))
    if kind == "union_tag_invalid":
        return _choice(context["tag"], context["expected_tags"])
    if kind == "union_tag_not_found":
        return "is missing"
    return _WORDS[kind].format(**context) if kind in _WORDS else details["msg"]


def _choice(value: Any, expected: str) -> str:
    words = [word.strip(" '") for word in expected.replace(" or ", ", ").split(",")]
    allowed = [{"True": "true", "False": "false"}.get(word, f'"{word}"') for word in words]
    text = "must be " + " or ".join(filter(None, (", ".join(allowed[:-1]), allowed[-1])))
    return text if value is None else f"{text}, not {shown(value)}{_meant(value, words)}"


def _meant(word: Any, names: Iterable[str]) -> str:
    close = get_close_matches(str(word).lower(), list(names), 1, 0.6)
    return f'; did you mean "{close[0]}"?' if close else ""
