"""The instance's settings: `settings.json`. Without the file, everything has its default."""

from __future__ import annotations

import os
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field

from revscript.config.base import Address, Host, Line, Minutes, Model, Name, Port, Seconds, Url, refuse, rule


def _zone(value: str) -> str | None:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return 'must be a time zone like "Europe/Berlin"'
    return None


def _ascending(values: tuple[float, ...]) -> tuple[float, ...]:
    if list(values) != sorted(values):
        raise refuse("must be ascending")
    return values


Tries = Annotated[
    tuple[Annotated[float, Field(ge=0, le=1440)], ...],
    Field(min_length=1, max_length=20),
    AfterValidator(_ascending),
]
Megabytes = Annotated[int, Field(ge=1, le=2000)]


class Organisation(Model):
    """Who runs this command post."""

    name: Line = Field(default="", description="The organisation's name, as it stands on message forms.")


class Jail(Model):
    """What one script run or one mail's reading may use."""

    wall: Seconds = Field(default=10, description="Seconds that a run may last.")
    cpu: Annotated[int, Field(ge=1, le=3600)] = Field(default=5, description="Seconds of processor time a run may use.")
    memory: Annotated[int, Field(ge=64, le=16_384)] = Field(default=256, description="Memory of a run in MiB.")
    children: Annotated[int, Field(ge=1, le=1000)] = Field(
        default_factory=lambda: (os.cpu_count() or 1) + 2,
        description="Runs at the same time; by default two more than the machine has cores.",
    )


class Network(Model):
    """How servers are reached."""

    connect_timeout: Seconds = Field(default=30, description="Seconds until a connection must stand.")
    read_timeout: Seconds = Field(default=30, description="Seconds that a server may be silent.")
    proxy: Name | None = Field(default=None, description="URL of the proxy for connections to the outside.")
    ca_file: Name | None = Field(default=None, description="PEM file of your own authority, for all servers.")


class Push(Model):
    """How servers are asked to announce new mails (IDLE, RFC 2177), and how that is kept honest."""

    renew: Annotated[float, Field(gt=0, le=1740)] = Field(  # RFC 2177: at least every 29 minutes
        default=240, description="Seconds after which IDLE is ended and begun anew."
    )
    safety_search: Annotated[float, Field(gt=0, le=3600)] = Field(
        default=90, description="Seconds after which the mailbox is searched although the server announced nothing."
    )
    connection_age: Seconds = Field(default=3000, description="Seconds after which a connection is replaced.")


class Web(Model):
    """The port for people and programs: health and metrics."""

    enabled: bool = Field(default=True, description="Whether the port is opened at all.")
    host: Host = Field(
        default="127.0.0.1", description='The address to listen on; "0.0.0.0" is every network of this machine.'
    )
    port: Port = Field(default=8025, description="The port number to listen on.")


class Retention(Model):
    """How long things are kept."""

    raw_mail: Annotated[float, Field(ge=1, le=36_500)] = Field(
        default=90, description="Days after which the raw text of a mail is removed that nothing refers to any more."
    )


class AlertMail(Model):
    """Alerts by mail."""

    account: Name = Field(description="The account that sends the alerts.")
    to: Annotated[tuple[Address, ...], Field(min_length=1, max_length=50)] = Field(
        description="The addresses that get the alerts."
    )


class Alerts(Model):
    """How problems reach a person when nobody looks."""

    after: Minutes = Field(default=3, description="Minutes that a problem must last before it is told.")
    repeat: Minutes = Field(default=60, description="Minutes after which a problem that still lasts is told again.")
    mail: AlertMail | None = Field(default=None, description="Tell problems by mail.")
    webhook: Url | None = Field(default=None, description="Tell problems to this URL, by POST with JSON.")


class Heartbeat(Model):
    """A ping that says "I am alive"; when it stays away, the service at the URL raises the alarm."""

    url: Url = Field(description="The URL that is called (GET).")
    every: Annotated[float, Field(gt=0, le=1440)] = Field(default=5, description="Minutes between two calls.")


class Backoff(Model):
    """The pauses between attempts to reach a mail server."""

    first: Seconds = Field(default=5, description="Seconds before the second attempt; doubled each time.")
    most: Seconds = Field(default=300, description="The longest pause in seconds.")


class Outbox(Model):
    """How often a mail that could not be sent is tried again."""

    retry: Annotated[tuple[Seconds, ...], Field(min_length=1, max_length=50), AfterValidator(_ascending)] = Field(
        default=(5, 30, 120, 600, 1800), description="Pauses in seconds; the last one is repeated."
    )
    give_up_after: Annotated[float, Field(gt=0, le=720)] = Field(
        default=48, description="Hours after which a mail is given up and shown as a problem."
    )


class Settings(Model):
    """Settings of the whole instance."""

    schema_url: str | None = Field(
        default=None,
        alias="$schema",
        exclude=True,
        description="Where an editor finds the schema of this file.",
    )
    organisation: Organisation = Field(default=Organisation(), description="Who runs this command post.")
    time_zone: Annotated[str, rule(_zone)] = Field(
        default="Europe/Berlin", description="The time zone in which times are shown."
    )
    tries: Tries = Field(
        default=(0, 1, 10), description="When a task is tried, in minutes after its first try; then quarantine."
    )
    jail: Jail = Field(default_factory=Jail, description="Limits of script runs and of reading mails.")
    reading_limit: Megabytes = Field(default=50, description="Larger mails (MB) are kept, but not taken apart.")
    hard_cap: Megabytes = Field(default=200, description="Of even larger mails (MB) only the header is fetched.")
    default_sender: Name | None = Field(
        default=None, description="The account that sends for accounts which only receive."
    )
    network: Network = Field(default=Network(), description="How servers are reached.")
    push: Push = Field(default=Push(), description="How servers announce new mails.")
    web: Web = Field(default=Web(), description="The port for health and metrics.")
    retention: Retention = Field(default=Retention(), description="How long things are kept.")
    alerts: Alerts = Field(default=Alerts(), description="How problems reach a person when nobody looks.")
    heartbeat: Heartbeat | None = Field(
        default=None, description="A ping to a service that raises the alarm when it stays away."
    )
    backoff: Backoff = Field(default=Backoff(), description="Pauses between attempts to reach a mail server.")
    outbox: Outbox = Field(default=Outbox(), description="Repeating of mails that could not be sent.")
