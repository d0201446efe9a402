"""`revscript demo`: try it out, without any server of yours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from revscript import logs
from revscript.cli.output import console
from revscript.demo import missing
from revscript.errors import ConfigError

PortOption = Annotated[int, typer.Option(metavar="PORT", min=0, max=65535, help="0 takes any free port.")]


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="End after the report; exit code 1 if it is not as it should be.")
    ] = False,
    port: PortOption = 0,
    smtp_port: PortOption = 0,
    keep: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A new folder for the instance, which stays.")
    ] = None,
) -> None:
    """Show a command post at work, with mail servers of its own.

    Three accounts, four scripts, and twelve invented mails that come in one by one. Then it stays up and takes what is
    sent to it, until Ctrl-C. `--port` is IMAP, `--smtp-port` is SMTP, both on this machine only.
    """
    if packages := missing():
        raise ConfigError(
            f"The demo needs {' and '.join(packages)}.", hint="Install them: pip install 'revscript[demo]'"
        )
    from revscript.demo.show import Wishes, run

    code = run(Wishes(once, keep, port, smtp_port), console())
    logs.configure("warning")
    raise typer.Exit(code)
