"""The command line. Exit codes: 0 fine, 1 something went wrong or was found, 2 wrong usage or configuration."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from revscript import __version__, logs
from revscript.cli import account, check, demo, outbox, quarantine, read, run, schema, show, status, trace, try_
from revscript.cli.output import complain
from revscript.errors import ConfigError, RevscriptError

app = typer.Typer(
    name="revscript",
    help="Mail intake and scripting host for emergency command posts.",
    epilog="Exit codes: 0 fine; 1 something went wrong or was found; 2 wrong usage or configuration.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("run")(run.run)
app.command("check")(check.check)
app.command("schema")(schema.schema)
app.add_typer(account.app, name="account")
app.command("read")(read.read)
app.command("try")(try_.try_)
app.command("status")(status.status)
app.command("demo")(demo.demo)
app.add_typer(show.app, name="show")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(outbox.app, name="outbox")
app.command("trace")(trace.trace)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"revscript {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Mail intake and scripting host for emergency command posts."""


def main() -> None:
    """Run the command line. An error that we know is one line and an exit code, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a mail's text is UTF-8, wherever it is printed
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    logs.configure("warning")
    try:
        app()
    except RevscriptError as error:
        complain(error)
        sys.exit(2 if isinstance(error, ConfigError) else 1)
