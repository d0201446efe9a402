"""What all settings share: frozen models that refuse unknown keys, and the kinds of values that repeat."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

_BREAKERS = r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
_ADDRESS = r"[^\s@<>()\[\],;:\\\x22]{1,64}@[A-Za-z0-9][A-Za-z0-9.\-]{0,252}"
_DOMAIN = r"@[A-Za-z0-9][A-Za-z0-9.\-]{0,252}"
_HOST = r"[\w.\-]{1,253}|[0-9A-Fa-f:.]{2,45}"  # a name, or an address of IPv4 or IPv6
_LINE_PATTERN = r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]*$"
_URL_PATTERN = r"^(https://|http://(localhost|127\.|\[::1\]))[^\s]*$"


class Model(BaseModel):
    """Base of every setting. Errors never show what was put in: it may be a password in the wrong place."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True, validate_default=True
    )


def refuse(text: str, at: str = "") -> PydanticCustomError:
    """Return the error for a value that a setting does not accept; `text` completes "receiving.host: …".

    Where the check of a whole object finds a fault in one of its settings, `at` is that setting's name.
    """
    return PydanticCustomError("refused", "{text}", {"text": text, "at": at})


@dataclass(frozen=True, slots=True)
class _Rule:
    """A check of a text, and the regular expression that tells editors as much of it as one can."""

    check: Callable[[str], str | None]
    pattern: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._validate, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(schema) | ({"pattern": self.pattern} if self.pattern else {})

    def _validate(self, value: str) -> str:
        if problem := self.check(value):
            raise refuse(problem)
        return value


def rule(check: Callable[[str], str | None], pattern: str = "") -> Any:
    """Make a validator of a function that returns what is wrong with a text, or None.

    `pattern` is for the JSON Schema (a regular expression of ECMA-262): it accepts whatever `check` accepts.
    """
    return _Rule(check, pattern)


def whole(*patterns: str) -> str:
    """Return the pattern for texts that match one of the patterns from end to end."""
    return f"^({'|'.join(patterns)})$"


def _line(value: str) -> str | None:
    return "must be one line without control characters" if re.search(_BREAKERS, value) else None


def _address(value: str) -> str | None:
    if re.search(r"<[^<>]+>\s*$", value):
        return 'must be the mail address alone, like "einsatz@fuest.example", without a name and <>'
    return None if re.fullmatch(_ADDRESS, value) else 'must be a mail address like "einsatz@fuest.example"'


def _sender(value: str) -> str | None:
    if re.fullmatch(_ADDRESS, value) or re.fullmatch(_DOMAIN, value):
        return None
    if re.fullmatch(_DOMAIN, f"@{value}") and "." in value:
        return f'must begin with @ where a whole domain is meant: "@{value}"'
    return 'must be an address like "alarm@leitstelle.example" or a domain like "@leitstelle.example"'


def _host(value: str) -> str | None:
    if "://" in value:
        return 'must be the host name alone, like "mail.fuest.example", without ://'
    if value.count(":") == 1:
        return "must be the host name alone; the port is a setting of its own"
    return None if re.fullmatch(_HOST, value) else 'must be a host name like "mail.fuest.example"'


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by name or address; names are not looked up."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _url(value: str) -> str | None:
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if re.search(r"\s", value) or not host or parts.scheme not in ("https", "http"):
        return 'must be a URL like "https://alerts.example/path"'
    if parts.scheme == "http" and not is_loopback(host):
        return "must begin with https://; http:// is for this machine only (localhost)"
    return None


class _Url(str):
    """A URL that shows at most its host where settings are printed: path and login are often a key to a service."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"'{urlsplit(self).scheme}://{urlsplit(self).hostname}/…'"


Line = Annotated[str, Field(max_length=200), rule(_line, _LINE_PATTERN)]
Name = Annotated[str, Field(min_length=1, max_length=200), rule(_line, _LINE_PATTERN)]
Address = Annotated[str, Field(max_length=254), rule(_address, whole(_ADDRESS))]
Sender = Annotated[str, Field(max_length=254), rule(_sender, whole(_ADDRESS, _DOMAIN))]
Host = Annotated[str, rule(_host, r"^[^\s:/@]{1,253}$|^[0-9A-Fa-f:.]{2,45}$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Url = Annotated[str, Field(max_length=2000), rule(_url, _URL_PATTERN), AfterValidator(_Url)]
Minutes = Annotated[float, Field(gt=0, le=525_600)]  # a year: longer is a slip of the keyboard
Seconds = Annotated[float, Field(gt=0, le=86_400)]


def dig(data: Any, place: str) -> Any:
    """Return what lies at a JSON path like `receiving.port` in raw data; None where there is nothing."""
    for key in place.split("."):
        data = data.get(key) if isinstance(data, dict) else None  # pyright: ignore[reportUnknownVariableType]
    return data  # pyright: ignore[reportUnknownVariableType]
