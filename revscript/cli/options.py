"""Options that several commands share, and the instance that they mean."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from revscript.config import Settings, read_settings
from revscript.errors import ConfigError
from revscript.host import DATABASE, Stores, open_stores
from revscript.snapshot import Instance

InstanceOption = Annotated[
    Path | None,
    typer.Option(
        "--instance",
        metavar="DIR",
        envvar="REVSCRIPT_HOME",
        help="The instance's folder; without it, the current folder.",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object a line (docs/json.md) instead of text.")
]
LARGEST = 1_000_000_000  # of ids and numbers of rows: far above any, and far below what SQLite takes
MailArguments = Annotated[list[Path], typer.Argument(metavar="MAIL.eml", help="Raw mails (RFC 5322).")]


def instance_at(folder: Path | None) -> Instance:
    """The instance in a folder, without one in the current folder; ConfigError when there is none."""
    try:
        instance = Instance((folder or Path()).absolute())
        found = instance.accounts.is_dir()
    except OSError as error:  # a folder that this user may not look into, or one that was removed
        raise ConfigError(
            f"{folder or 'the current folder'}: {error.strerror}.",
            hint="Use the user account under which the host runs, or name another folder with --instance DIR.",
        ) from None
    if not found:
        raise ConfigError(
            f"{instance.root}: not an instance: there is no folder accounts in it.",
            hint="Go to the instance's folder, or name it with --instance DIR or REVSCRIPT_HOME.",
        )
    return instance


@contextmanager
def stores_of(instance: Instance, *, read_only: bool = False) -> Generator[Stores]:
    """The instance's store, opened beside a host; never made: it would belong to the wrong user.

    Commands that only look open it `read_only`: then it may lie where this user cannot write.
    """
    if not has_store(instance):
        raise ConfigError(f"{instance.root}: there is no database yet.", hint="The first `revscript run` makes it.")
    stores = open_stores(instance, read_only=read_only)
    try:
        yield stores
    finally:
        stores.database.close()


def has_store(instance: Instance) -> bool:
    """Whether a host has run there; ConfigError where this user may not look."""
    try:
        return (instance.data / DATABASE).exists()
    except OSError as error:
        raise ConfigError(
            f"{instance.data}: {error.strerror}.", hint="Use the user account under which the host runs."
        ) from None


def settings_of(instance: Instance) -> Settings:
    """The settings; the defaults where the file has an error (`check` and `run` say which)."""
    return read_settings(instance.settings)[0] or Settings()


def zone_of(instance: Instance) -> ZoneInfo:
    """The time zone in which people read times."""
    return ZoneInfo(settings_of(instance).time_zone)
