"""`revscript schema`: what editors need to complete and explain accounts and settings."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from revscript.cli.options import InstanceOption, instance_at
from revscript.cli.output import say
from revscript.config.atomic import write_whole
from revscript.config.json_schema import account_schema, settings_schema
from revscript.errors import ConfigError
from revscript.snapshot import Instance

SCHEMA = ".schema.json"  # "$schema": "./.schema.json" in a file beside it


def schema(instance: InstanceOption = None) -> None:
    """Write the JSON Schemas of accounts and settings, so that editors complete and explain.

    They become accounts/.schema.json and .schema.json; a file asks for its own with "$schema": "./.schema.json".
    Write them again after an upgrade.
    """
    where = instance_at(instance)
    for path, made in schemas(where):
        write_schema(path, made())
        say(f"{path.relative_to(where.root)} written")


def schemas(instance: Instance) -> Iterator[tuple[Path, Callable[[], dict[str, Any]]]]:
    """The schema files of an instance, and what makes their content."""
    yield instance.accounts / SCHEMA, account_schema
    yield instance.root / SCHEMA, settings_schema


def write_schema(path: Path, content: dict[str, Any]) -> None:
    """Write one schema as a whole; ConfigError when the folder cannot be written."""
    try:
        write_whole(path, json.dumps(content, ensure_ascii=False, indent=2) + "\n")
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}.", hint="Use the user account to which the instance's folder belongs."
        ) from None
