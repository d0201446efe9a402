"""JSON Schema (2020-12) of account files and settings, made from the models, for editors that complete and explain.

It refuses what a schema can refuse. What only the program can tell (files, secrets, other accounts, order of numbers)
is for `revscript check`; the tests hold a list of it.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from revscript.config import not_yet
from revscript.config.account import Account, Methods
from revscript.config.base import Model
from revscript.config.settings import Settings

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TAGS = ("protocol", "method")  # the keys that tell the branches of a union apart: the program asks for them


class _Schema(GenerateJsonSchema):
    """Without titles, which only repeat the keys; and a default says what stands in the file."""

    schema_dialect = DIALECT

    def generate(self, schema: CoreSchema, mode: JsonSchemaMode = "validation") -> JsonSchemaValue:
        return {"$schema": self.schema_dialect, **super().generate(schema, mode)}

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        made = super().tagged_union_schema(schema)
        made.pop("discriminator", None)  # a word of OpenAPI's
        return made


def account_schema() -> dict[str, Any]:
    """Return the schema of `accounts/NAME.json`."""
    schema = _of(Account, "An e-mail account of revscript and what happens to its mails.")
    schema["allOf"] = [*_gaps(not_yet.ACCOUNT), _login_to_receive(), _canary()]
    return schema


def settings_schema() -> dict[str, Any]:
    """Return the schema of `settings.json`."""
    schema = _of(Settings, "Settings of a whole instance of revscript.")
    schema["allOf"] = [*_gaps(not_yet.SETTINGS)]
    return schema


def _of(model: type[Model], description: str) -> dict[str, Any]:
    schema = model.model_json_schema(by_alias=True, schema_generator=_Schema)
    for definition in schema["$defs"].values():
        definition.pop("title")
        tags = [tag for tag in _TAGS if "const" in definition.get("properties", {}).get(tag, {})]
        if tags:
            definition["required"] = sorted({*tags, *definition.get("required", [])})
    for definition in (schema, *schema["$defs"].values()):
        for one in definition["properties"].values():
            # pydantic leaves it out where it is the model's own.
            if "$ref" in one and "description" not in one:
                one["description"] = schema["$defs"][one["$ref"].rpartition("/")[2]]["description"]
    schema.pop("title")
    return schema | {"description": description}


# --- what the program refuses beside the models ---------------------------------------------------------


def _gaps(gaps: tuple[not_yet.Gap, ...]) -> list[dict[str, Any]]:
    return [_at(gap.place, _refusing(gap)) for gap in gaps]


def _refusing(gap: not_yet.Gap) -> dict[str, Any]:
    if gap.word:
        return {"not": {"const": gap.word}}
    return {"enum": [False, None, "", 0]}  # off, empty or left out


def _at(place: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a file in which this one holds at a place; where the place is not there, it holds."""
    for key in reversed(place.split(".")):
        schema = {"properties": {key: schema}}
    return schema


def _is(part: Literal["receiving", "sending"], *protocols: str) -> dict[str, Any]:
    return {
        "required": [part],
        "properties": {part: {"required": ["protocol"], "properties": {"protocol": {"enum": [*protocols]}}}},
    }


def _login_to_receive() -> dict[str, Any]:
    login = _at("authentication.method", {"not": {"const": "none"}})
    return {"if": _is("receiving", "imap", "pop3"), "then": login | {"required": ["authentication"]}}


def _canary() -> dict[str, Any]:
    """A canary flies from an account to itself, and must be read there."""
    disabled = {"required": ["enabled"], "properties": {"enabled": {"const": False}}}
    is_read = {
        "required": ["methods"],
        "properties": {"methods": {"anyOf": [_has(one) for one in Methods.model_fields]}},
    }
    wanted = [_is("receiving", "imap", "pop3"), _is("sending", "smtp"), {"anyOf": [disabled, is_read]}]
    return {"if": _has("canary"), "then": {"allOf": wanted}}


def _has(key: str) -> dict[str, Any]:
    """It is there, and not switched off."""
    return {"required": [key], "properties": {key: {"not": {"enum": [False, None]}}}}
