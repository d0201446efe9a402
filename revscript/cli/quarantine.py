"""`revscript quarantine`: what was given up, and what a person does about it.

Works beside a running host, which takes up within a second what waits then, and without one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from revscript.cli.options import LARGEST, InstanceOption, JsonOption, instance_at, stores_of, zone_of
from revscript.cli.output import counted, rows_or_none, say
from revscript.cli.quarantine_show import Glance, show_task
from revscript.cli.rerun import Work
from revscript.errors import RevscriptError
from revscript.model import Method
from revscript.store.quarantine import Held, Quarantine, Which

app = typer.Typer(
    help="Look at what was given up after all tries, run it again, or discard it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_LIST = "See `revscript quarantine list`."

MailArgument = Annotated[
    int, typer.Argument(metavar="ID", min=1, max=LARGEST, help="The mail's id, as in `revscript show mails`.")
]
OneMail = Annotated[
    int | None,
    typer.Argument(metavar="ID", min=1, max=LARGEST, help="The mail's id; without it, an option below says which."),
]
TaskOption = Annotated[
    Method | None, typer.Option("--task", metavar="METHOD", help="Only script, document, centre or mission_folder.")
]
ScriptOption = Annotated[
    str | None, typer.Option("--script", metavar="NAME.py", help="All tasks whose last run was of this script.")
]
AccountOption = Annotated[str | None, typer.Option("--account", metavar="NAME", help="All tasks of this account.")]
AllOption = Annotated[bool, typer.Option("--all", help="All that is in quarantine.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
EmlOption = Annotated[
    Path | None, typer.Option("--eml", metavar="FILE", help="Also write the raw mail to a file, e.g. for `try`.")
]
VersionOption = Annotated[
    bool | None,
    typer.Option(
        "--new-script/--same-script",
        help="With the script as it is now, or as it was when the task failed (that is the default).",
        show_default=False,
    ),
]


@app.command("list")
def list_(
    task: TaskOption = None,
    script: ScriptOption = None,
    account: AccountOption = None,
    instance: InstanceOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what is in quarantine, in the order in which the mails came.

    JSON keys: mail, account, method, script, since, attempts, reason, line, late, from, subject.
    """
    where = instance_at(instance)
    with stores_of(where, read_only=True) as stores:
        held = Quarantine(stores.database).held(Which(None, task, script, account))
    glance = Glance(where)
    rows = [glance.row(one) for one in held]
    rows_or_none(rows, zone_of(where), as_json=as_json)


@app.command()
def show(
    mail_id: MailArgument,
    task: TaskOption = None,
    eml: EmlOption = None,
    instance: InstanceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show why a mail is in quarantine, where it is, and what to do about it.

    JSON: one object a task, see docs/json.md.
    """
    where = instance_at(instance)
    with stores_of(where, read_only=True) as stores:
        held = Quarantine(stores.database).held(Which(mail_id, task))
        if not held:
            raise RevscriptError(
                f"Nothing of mail {mail_id} is in quarantine.", hint="See `revscript quarantine list`."
            )
        for one in held:
            show_task(one, where, stores, as_json=as_json)
        if eml:
            _write_raw(eml, stores.blobs.chunks(stores.ledger.mail(mail_id).blob_id))
    if eml and not as_json:
        say(f"the raw mail is in {eml} now")


def _write_raw(file: Path, pieces: Iterable[bytes]) -> None:
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.writelines(pieces)
    except OSError as error:
        raise RevscriptError(f"{file}: {error.strerror}.") from None


@app.command()
def rerun(
    mail_id: OneMail = None,
    task: TaskOption = None,
    script: ScriptOption = None,
    account: AccountOption = None,
    everything: AllOption = False,
    new_script: VersionOption = None,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="A note for `revscript trace`.")] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Repeat a mail that is done: with all its effects, mails included.")
    ] = False,
    yes: YesOption = False,
    instance: InstanceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run tasks in quarantine again, with their attempts counted from the start.

    What a task has done already it does not do again. Of a mail that is done this shows only what would be repeated,
    unless --force is given.

    JSON keys: mail, account, method, done, script, script_sha256, changed.
    """
    which = _which(mail_id, task, script, account, everything=everything)
    where = instance_at(instance)
    with stores_of(where) as stores:
        work = Work(where, stores, as_json=as_json)
        held = work.quarantine.held(which)
        if mail_id is not None and not held:
            work.repeat(which, new_script=new_script, why=why.strip(), force=force)
            return
        _confirm(held, which, yes=yes, as_json=as_json)
        work.rerun(held, new_script=new_script, why=why.strip())


@app.command()
def discard(
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason; it is kept for good.")],
    mail_id: OneMail = None,
    task: TaskOption = None,
    script: ScriptOption = None,
    account: AccountOption = None,
    everything: AllOption = False,
    yes: YesOption = False,
    instance: InstanceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give tasks in quarantine up for good; a mail of which nothing is open then is settled on its server.

    JSON keys: mail, account, method, done.
    """
    if not why.strip():
        raise typer.BadParameter("say why; it must not be blank", param_hint="--why")
    which = _which(mail_id, task, script, account, everything=everything)
    where = instance_at(instance)
    with stores_of(where) as stores:
        work = Work(where, stores, as_json=as_json)
        held = work.quarantine.held(which)
        _confirm(held, which, yes=yes, as_json=as_json)
        work.discard(held, why.strip())


def _which(
    mail_id: int | None, task: Method | None, script: str | None, account: str | None, *, everything: bool
) -> Which:
    bulk = everything or script is not None or account is not None
    if (mail_id is not None) == bulk:
        raise typer.BadParameter("name either a mail's ID, or --script, --account or --all")
    return Which(mail_id, task, script, account)


def _confirm(held: list[Held], which: Which, *, yes: bool, as_json: bool) -> None:
    """Nothing to do is an error; many at once want their number typed."""
    if not held:
        what = "Nothing of that" if which.mail_id is None else f"Nothing of mail {which.mail_id}"
        raise RevscriptError(f"{what} is in quarantine.", hint=_LIST)
    if yes or which.mail_id is not None:
        return
    if as_json:
        raise typer.BadParameter("with --json many tasks at once need --yes")
    if not sys.stdin:  # it was closed
        raise RevscriptError("Nothing was done: nobody can be asked.", hint="With --yes nobody is.")
    mails = counted(len({one.mail_id for one in held}), "mail")
    say(f"This means {counted(len(held), 'task')} of {mails}.")
    if typer.prompt(f"Type {len(held)} to go on") != str(len(held)):
        raise RevscriptError("Nothing was done.")
