"""`revscript show`: what the instance has, newest first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from revscript.cli.options import LARGEST, InstanceOption, JsonOption, instance_at, stores_of, zone_of
from revscript.cli.output import rows_or_none
from revscript.cli.show_mail import show_mail
from revscript.store import views
from revscript.store.database import Database

app = typer.Typer(
    help="List mails, forms and other records, newest first.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

LimitOption = Annotated[int, typer.Option("--limit", metavar="N", min=1, max=LARGEST, help="How many at the most.")]


def _list(view: Callable[[Database, int], list[views.View]], instance: Path | None, limit: int, as_json: bool) -> None:
    where = instance_at(instance)
    with stores_of(where, read_only=True) as stores:
        rows = view(stores.database, limit)
    rows_or_none(rows, zone_of(where), as_json=as_json)


@app.command()
def mails(
    mail_id: Annotated[
        int | None, typer.Argument(metavar="[ID]", min=1, max=LARGEST, help="Show this mail whole.")
    ] = None,
    instance: InstanceOption = None,
    limit: LimitOption = 20,
    as_json: JsonOption = False,
) -> None:
    """Received mails; with an ID one mail whole: its tasks, every run, what was done.

    JSON keys: id, account, received, from, subject, state, settled, size, fallback, tasks, labels.
    """
    if mail_id is None:
        _list(views.mails, instance, limit, as_json)
    else:
        show_mail(instance_at(instance), mail_id, as_json=as_json)


@app.command()
def forms(instance: InstanceOption = None, limit: LimitOption = 20, as_json: JsonOption = False) -> None:
    """Incoming message forms.

    JSON keys: id, number, mission, state, priority, subject, received, mails.
    """
    _list(views.forms, instance, limit, as_json)


@app.command()
def missions(instance: InstanceOption = None, limit: LimitOption = 20, as_json: JsonOption = False) -> None:
    """Missions; `folder` is the number of files in the mission's folder.

    JSON keys: id, number, keyword, title, address, state, opened, folder.
    """
    _list(views.missions, instance, limit, as_json)


@app.command()
def notices(instance: InstanceOption = None, limit: LimitOption = 20, as_json: JsonOption = False) -> None:
    """Notices for people.

    JSON keys: level, wished_level, audience, name, text, updates, at.
    """
    _list(views.notices, instance, limit, as_json)


@app.command()
def outbox(instance: InstanceOption = None, limit: LimitOption = 20, as_json: JsonOption = False) -> None:
    """Mail that leaves: pending, sent or dead (given up).

    JSON keys: id, lane, state, to, subject, tries, next, error.
    """
    _list(views.outbox, instance, limit, as_json)


@app.command()
def quarantine(instance: InstanceOption = None, limit: LimitOption = 20, as_json: JsonOption = False) -> None:
    """What was given up after all tries, with the reason; the mail stays on its server.

    JSON keys: mail, account, method, attempts, reason, line, from, subject.
    """
    _list(views.quarantine, instance, limit, as_json)
