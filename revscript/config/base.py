"""What all settings share: frozen models that refuse unknown keys, and the kinds of values that repeat."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

_BREAKERS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_ADDRESS = re.compile(r"[^\s@<>()\[\],;:\\\"]{1,64}@[A-Za-z0-9][A-Za-z0-9.\-]{0,252}")
_HOST = re.compile(r"[\w.\-]{1,253}|[0-9A-Fa-f:.]{2,45}")  # a name, or an address of IPv4 or IPv6


class Model(BaseModel):
    """Base of every setting. Errors never show what was put in: it may be a password in the wrong place."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True, validate_default=True
    )


def refuse(text: str) -> PydanticCustomError:
    """Return the error for a value that a setting does not accept; `text` completes "receiving.host: …"."""
    return PydanticCustomError("refused", "{text}", {"text": text})


def rule(check: Callable[[str], str | None]) -> AfterValidator:
    """Make a validator of a function that returns what is wrong with a text, or None."""

    def validate(value: str) -> str:
        if problem := check(value):
            raise refuse(problem)
        return value

    return AfterValidator(validate)


def _line(value: str) -> str | None:
    return "must be one line without control characters" if _BREAKERS.search(value) else None


def _address(value: str) -> str | None:
    return None if _ADDRESS.fullmatch(value) else 'must be a mail address like "einsatz@fuest.example"'


def _host(value: str) -> str | None:
    if "://" in value:
        return "must be a host name without ://"
    if value.count(":") == 1:
        return "must be a host name without the port, which is a setting of its own"
    return None if _HOST.fullmatch(value) else 'must be a host name like "mail.fuest.example"'


Line = Annotated[str, Field(max_length=200), rule(_line)]
Name = Annotated[str, Field(min_length=1, max_length=200), rule(_line)]
Address = Annotated[str, Field(max_length=254), rule(_address)]
Host = Annotated[str, rule(_host)]
Port = Annotated[int, Field(ge=1, le=65535)]
Minutes = Annotated[float, Field(gt=0, le=525_600)]  # a year: longer is a slip of the keyboard
Seconds = Annotated[float, Field(gt=0, le=86_400)]


def dig(data: Any, place: str) -> Any:
    """Return what lies at a JSON path like `receiving.port` in raw data; None where there is nothing."""
    for key in place.split("."):
        data = data.get(key) if isinstance(data, dict) else None  # pyright: ignore[reportUnknownVariableType]
    return data  # pyright: ignore[reportUnknownVariableType]
