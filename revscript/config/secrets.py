"""Secrets: written in a file as they are, or better as a reference `secret:NAME`.

A reference is looked up in the systemd credentials, the environment and the instance's `secrets/` folder,
once, when the configuration is loaded, so that a mail is processed under one state of things.

SECURITY: a `Secret` shows its value to nobody but `reveal()`: not in repr, str, dumps, pickles or errors.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from hmac import compare_digest
from pathlib import Path
from typing import Any, NoReturn

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from revscript.errors import ConfigError

MASK = "********"
PREFIX = "secret:"
MAX_FILE = 65_536  # bytes: the longest secrets are PEM keys of a few kB
_NAME = re.compile(r"\w[\w.-]{0,99}")  # one harmless file name: no folder, no hidden file


class SecretMissing(Exception):
    """A secret cannot be read; the text names the way out and is safe to show."""


@dataclass(frozen=True)
class Secrets:
    """The three places where `secret:NAME` is looked up, in this order: systemd, environment, folder."""

    folder: Path
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    def find(self, name: str) -> str:
        """Return the value of the secret, without the line feed at its end; SecretMissing says what to do."""
        for place in (self._credential, self._variable, self._file):
            value = place(name)
            if value == "":
                raise SecretMissing(f'the secret "{name}" is empty')
            if value is not None:
                return value
        raise SecretMissing(
            f'the secret "{name}" was not found: write it into the file secrets/{name} (chmod 600), the '
            f"environment variable {variable(name)} or the systemd credential {name}"
        )

    def _credential(self, name: str) -> str | None:
        # systemd keeps this folder private and sets the modes itself (systemd.exec(5), Credentials).
        folder = self.environ.get("CREDENTIALS_DIRECTORY")
        return _read(Path(folder) / name, f"the systemd credential {name}") if folder else None

    def _variable(self, name: str) -> str | None:
        return self.environ.get(variable(name))

    def _file(self, name: str) -> str | None:
        path = self.folder / name
        try:
            mode = path.stat().st_mode
        except OSError:
            return _read(path, f"secrets/{name}")
        if stat.S_ISREG(mode) and mode & 0o077:
            raise SecretMissing(f"secrets/{name} can be read by others: chmod 600 secrets/{name}")
        return _read(path, f"secrets/{name}")


def _read(path: Path, where: str) -> str | None:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
        if len(data) > MAX_FILE:
            raise SecretMissing(f"{where} is larger than {MAX_FILE} bytes")
        return data.decode().rstrip("\r\n")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise SecretMissing(f"{where} is not UTF-8 text") from None
    except OSError as error:
        raise SecretMissing(f"{where} cannot be read: {error.strerror}") from None


def variable(name: str) -> str:
    """Return the environment variable of a secret: `REVSCRIPT_SECRET_M365` for `m365`."""
    return "REVSCRIPT_SECRET_" + re.sub("[.-]", "_", name).upper()


class Secret:
    """A password or client secret that never shows itself.

    `reference` is `secret:NAME`, or empty when the value stood in the file; `problem` says why there is no
    value.
    """

    __slots__ = ("_value", "problem", "reference")

    reference: str
    problem: str

    def __init__(self, text: str, secrets: Secrets | None = None) -> None:
        """Take a literal, or a reference which is looked up in `secrets`."""
        self._value = "" if text.startswith(PREFIX) else text
        self.reference = text if text.startswith(PREFIX) else ""
        self.problem = ""
        if self.reference and not _NAME.fullmatch(text.removeprefix(PREFIX)):
            self.reference = ""  # perhaps a password that begins like a reference: never show it
            raise ValueError('a reference must be "secret:" and a name of letters, digits, ".", "_" and "-"')
        if self.reference:
            self._look_up(secrets)

    def _look_up(self, secrets: Secrets | None) -> None:
        try:
            if secrets is None:
                raise SecretMissing(f"{self.reference} was not looked up")
            self._value = secrets.find(self.reference.removeprefix(PREFIX))
        except SecretMissing as error:
            self.problem = str(error)

    def reveal(self) -> str:
        """Return the value, for the one line that hands it to a server; ConfigError when there is none."""
        if self.problem:
            raise ConfigError(self.problem)
        return self._value

    def __str__(self) -> str:
        return self.reference or MASK

    def __repr__(self) -> str:
        return f"Secret({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        same = compare_digest(self._value.encode(), other._value.encode())
        return same and (self.reference, self.problem) == (other.reference, other.problem)

    def __hash__(self) -> int:
        return hash((self.reference, self._value))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret is not pickled")

    @classmethod
    def _validate(cls, text: str, info: ValidationInfo) -> Secret:
        if not text:
            raise PydanticCustomError("secret", "must not be empty")
        context: Mapping[str, Any] = info.context or {}
        try:
            return cls(text, context.get("secrets"))
        except ValueError as error:
            raise PydanticCustomError("secret", "{why}", {"why": str(error)}) from None

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(schema) | {"minLength": 1, "pattern": f"^(?!{PREFIX})|^{PREFIX}{_NAME.pattern}$"}

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """In JSON a string, in Python also a ready Secret; dumped as its reference or a mask."""
        text = core_schema.with_info_after_validator_function(cls._validate, core_schema.str_schema())
        ready = core_schema.is_instance_schema(cls)
        return core_schema.json_or_python_schema(
            json_schema=text,
            python_schema=core_schema.union_schema([ready, text]),
            serialization=core_schema.to_string_ser_schema(when_used="always"),
        )
