"""`revscript outbox`: mail that did not reach everybody, and what a person does about it.

Works beside a running host, which tries within a second what is to be tried again, and without one.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

import typer

from revscript.cli.options import LARGEST, InstanceOption, JsonOption, instance_at, settings_of, stores_of, zone_of
from revscript.cli.output import counted, emit, rows_or_none, say
from revscript.cli.rerun import me
from revscript.cli.status import running_host
from revscript.errors import RevscriptError
from revscript.model import wall_clock
from revscript.store.undelivered import Undelivered, UndeliveredActs

app = typer.Typer(
    help="Look at mail that was given up or refused, send it again, or discard it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_LIST = "See `revscript outbox list`."

Ids = Annotated[
    list[int] | None,
    typer.Argument(metavar="ID", min=1, max=LARGEST, help="Their numbers, as in `revscript outbox list`."),
]
AllOption = Annotated[bool, typer.Option("--all", help="All that wait for a person.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]


@app.command("list")
def list_(instance: InstanceOption = None, as_json: JsonOption = False) -> None:
    """List mail that waits for a person, oldest first: given up (dead), or sent without some of its recipients.

    JSON keys: id, lane, state, to, subject, since, tries, error.
    """
    where = instance_at(instance)
    with stores_of(where, read_only=True) as stores:
        waiting = UndeliveredActs(stores.database).waiting()
    rows = [{name: value for name, value in one._asdict().items() if name != "open"} for one in waiting]
    rows_or_none(rows, zone_of(where), as_json=as_json)


@app.command()
def retry(
    ids: Ids = None,
    everything: AllOption = False,
    yes: YesOption = False,
    instance: InstanceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send mail again that was given up or refused, with its tries counted from the start; nobody gets it twice.

    JSON keys: id, done.
    """
    where = instance_at(instance)
    not_after = wall_clock() + timedelta(hours=settings_of(where).outbox.give_up_after)
    with stores_of(where) as stores:
        acts = UndeliveredActs(stores.database)
        chosen = _chosen(acts, ids, everything=everything, yes=yes, as_json=as_json)
        for one in chosen:
            if one.state == "pending":
                raise RevscriptError(
                    f"Outbox no. {one.id} is being tried still; nothing was done.", hint="See `revscript show outbox`."
                )
            if one.state == "sent" and not one.error:
                raise RevscriptError(f"Outbox no. {one.id} was sent to everybody; nothing was done.", hint=_LIST)
        _tell(acts.retry([one.id for one in chosen], not_after), "retry", "is sent again", as_json=as_json)
    if not as_json and running_host(where) is None:
        say("No host runs now: it is sent when one is started.", "yellow")


@app.command()
def discard(
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason; it is kept with the mail.")],
    ids: Ids = None,
    everything: AllOption = False,
    yes: YesOption = False,
    instance: InstanceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Settle that mail did not reach everybody: nobody need look at it any more.

    JSON keys: id, done.
    """
    if not why.strip():
        raise typer.BadParameter("say why; it must not be blank", param_hint="--why")
    where = instance_at(instance)
    with stores_of(where) as stores:
        acts = UndeliveredActs(stores.database)
        chosen = _chosen(acts, ids, everything=everything, yes=yes, as_json=as_json)
        for one in chosen:
            if one.state == "pending" or not one.open:
                raise RevscriptError(f"Outbox no. {one.id} waits for nobody; nothing was done.", hint=_LIST)
        _tell(acts.discard([one.id for one in chosen], me(), why.strip()), "discarded", "discarded", as_json=as_json)


def _chosen(
    acts: UndeliveredActs, ids: Sequence[int] | None, *, everything: bool, yes: bool, as_json: bool
) -> list[Undelivered]:
    if bool(ids) == everything:
        raise typer.BadParameter("name either numbers or --all")
    if not everything:
        return [_named(acts, act_id) for act_id in dict.fromkeys(ids or ())]
    waiting = acts.waiting()
    if not waiting:
        raise RevscriptError("No mail waits for a person.", hint="See `revscript show outbox`.")
    if not yes:
        _confirm(len(waiting), as_json=as_json)
    return waiting


def _named(acts: UndeliveredActs, act_id: int) -> Undelivered:
    one = acts.one(act_id)
    if one is None:
        raise RevscriptError(f"There is no mail no. {act_id} in the outbox, or it was removed (retention).", hint=_LIST)
    return one


def _confirm(number: int, *, as_json: bool) -> None:
    if as_json:
        raise typer.BadParameter("with --json --all needs --yes")
    if not sys.stdin:  # it was closed
        raise RevscriptError("Nothing was done: nobody can be asked.", hint="With --yes nobody is.")
    say(f"This means {counted(number, 'mail')}.")
    if typer.prompt(f"Type {number} to go on") != str(number):
        raise RevscriptError("Nothing was done.")


def _tell(ids: Sequence[int], done: str, words: str, *, as_json: bool) -> None:
    for act_id in ids:
        if as_json:
            emit({"id": act_id, "done": done})
        else:
            say(f"outbox no. {act_id}: {words}")
