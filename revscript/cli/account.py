"""`revscript account new`: from a few questions to an account file.

SECURITY: the password comes from the terminal (not echoed) or from standard input, never from the command line, which
every user of the machine can see; it goes into a file of its own that only its owner can read.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from revscript.cli.options import InstanceOption, instance_at
from revscript.cli.output import say
from revscript.cli.questions import Draft, Question, can_ask, yes
from revscript.cli.schema import SCHEMA, schemas, write_schema
from revscript.config import Account, Finding, is_account_name
from revscript.config.atomic import write_whole
from revscript.errors import ConfigError
from revscript.model import METHODS
from revscript.snapshot import Instance, load_snapshot

app = typer.Typer(help="Make accounts.", no_args_is_help=True)

MAX_PASSWORD = 65_536  # bytes: some providers' tokens are kilobytes long

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The account's name: its file's, without .json.")]
AddressOption = Annotated[str | None, typer.Option(help="The complete e-mail address.")]
ReceiveOption = Annotated[bool | None, typer.Option("--receive/--no-receive", help="Whether mail is fetched.")]
HostOption = Annotated[str | None, typer.Option(help="The IMAP server's host name.")]
PortOption = Annotated[int | None, typer.Option(help="The IMAP server's port; without a terminal, 993.")]
SendOption = Annotated[bool | None, typer.Option("--send/--no-send", help="Whether mail can be sent.")]
SmtpHostOption = Annotated[str | None, typer.Option(help="The SMTP server's host name.")]
SmtpPortOption = Annotated[int | None, typer.Option(help="The SMTP server's port; without a terminal, 587.")]
UserOption = Annotated[str | None, typer.Option(help="The user name; without a terminal, the address.")]
PasswordOption = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]
MethodsOption = Annotated[
    str | None,
    typer.Option(help=f"What happens to each mail, with commas: {', '.join(METHODS)}; without a terminal, script."),
]
ScriptOption = Annotated[str | None, typer.Option(help="The script's file; without a terminal, onEMail.py.")]
CaFileOption = Annotated[
    str | None, typer.Option(help="PEM file of the server's own authority, if it has one; never asked for.")
]


@app.command("new")
def new(
    name: NameArgument,
    instance: InstanceOption = None,
    address: AddressOption = None,
    receive: ReceiveOption = None,
    host: HostOption = None,
    port: PortOption = None,
    send: SendOption = None,
    smtp_host: SmtpHostOption = None,
    smtp_port: SmtpPortOption = None,
    user: UserOption = None,
    password_stdin: PasswordOption = False,
    methods: MethodsOption = None,
    script: ScriptOption = None,
    ca_file: CaFileOption = None,
) -> None:
    """Make an account: asks what the options leave open, writes accounts/NAME.json and secrets/NAME, and checks them.

    Nothing that is there is overwritten. Exit code 1 when the new file has an error.
    """
    where = instance_at(instance)
    path = _free(where, name)
    draft = Draft({"$schema": f"./{SCHEMA}"})
    domain = draft.ask(Question("address", "E-mail address", "--address"), address).rpartition("@")[2]
    draft.set("enabled", True)
    if yes("Receive mail?", receive, default=True):
        draft.set("receiving.protocol", "imap")
        draft.ask(Question("receiving.host", "IMAP server", "--host", guess=f"imap.{domain}"), host)
        draft.ask(Question("receiving.port", "IMAP port", "--port", 993), port)
    if yes("Send mail?", send, default=True):
        draft.set("sending.protocol", "smtp")
        draft.ask(Question("sending.host", "SMTP server", "--smtp-host", guess=f"smtp.{domain}"), smtp_host)
        draft.ask(Question("sending.port", "SMTP port", "--smtp-port", 587), smtp_port)
    _methods(draft, methods, script)
    if ca_file:
        draft.ask(Question("ca_file", "Certificate", "--ca-file"), ca_file)
    password = _login(draft, where, name, user, from_stdin=password_stdin)
    _write(where, path, draft.data, password)
    _tell(where, path)


def _free(where: Instance, name: str) -> Path:
    path = where.accounts / f"{name}.json"
    if not is_account_name(name):
        raise ConfigError(f'"{name}" cannot be an account\'s name: letters, digits, ".", "_" and "-" only.')
    if _is_there(path):
        raise ConfigError(
            f"accounts/{path.name} is there already; it is not overwritten.", hint="Edit it, or take another name."
        )
    return path


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise ConfigError(f"{path.parent}: {error.strerror}.", hint=_RIGHT_USER) from None


_RIGHT_USER = "Use the user account to which the instance's folder belongs."

# --- what is asked --------------------------------------------------------------------------------------


def _methods(draft: Draft, given: str | None, script: str | None) -> None:
    if "receiving" not in draft.data:
        return
    while True:
        text = given if given is not None or not can_ask() else typer.prompt(_METHODS, default="script")
        names = [one.strip() for one in (text or "script").split(",") if one.strip()]
        if not (strangers := [one for one in names if one not in METHODS]):
            break
        why = f"must be some of {', '.join(METHODS)}, not {', '.join(strangers)}"
        if given is not None:
            raise ConfigError(f"--methods: {why}.")
        say(f"  {why}", "yellow")
    for one in names:
        draft.set(f"methods.{one}", True)
    if "script" in names:
        draft.set("methods.script", {})
        draft.ask(Question("methods.script.file", "Script in user_scripts", "--script", "onEMail.py"), script)


_METHODS = f"What happens to each mail ({', '.join(METHODS)}; several with commas)"


def _login(draft: Draft, where: Instance, name: str, user: str | None, *, from_stdin: bool) -> str | None:
    """Put the login into the draft; return the password that is to be written, None where it lies there already."""
    address = draft.data["address"]
    draft.set("authentication", {"method": "password", "username": address, "password": f"secret:{name}"})
    draft.ask(Question("authentication.username", "User name", "--user", address), user)
    if _is_there(where.secrets / name):
        if from_stdin:
            raise ConfigError(
                f"secrets/{name} is there already; it is not overwritten.", hint="Leave --password-stdin out to use it."
            )
        say(f"secrets/{name} is there already and is used.")
        return None
    return _password(from_stdin=from_stdin)


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        password = _from_stdin()
    elif can_ask():
        password = cast("str", typer.prompt("Password (is not shown)", hide_input=True))
    else:
        raise ConfigError(
            "There is no password, and no terminal to ask.",
            hint="Give --password-stdin and the password on standard input.",
        )
    if not password:
        raise ConfigError("The password is empty.")
    return password


def _from_stdin() -> str:
    data = sys.stdin.buffer.read(MAX_PASSWORD) if sys.stdin else b""  # closed: there is none
    try:
        return data.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ConfigError(
            "The password on standard input is not UTF-8.",
            hint="Use a terminal or editor in UTF-8, or convert it: iconv -f latin1 -t utf-8.",
        ) from None


# --- what is written and said ----------------------------------------------------------------------------


def _write(where: Instance, path: Path, data: dict[str, Any], password: str | None) -> None:
    """Write the secret, then the account, so that a running host finds both; all or nothing."""
    secret = where.secrets / path.stem
    try:
        if password is not None:
            where.secrets.mkdir(mode=0o700, exist_ok=True)
            write_whole(secret, password + "\n", mode=0o600, replace=False)
        try:
            write_whole(path, json.dumps(_in_order(data), ensure_ascii=False, indent=2) + "\n", replace=False)
        except OSError:
            if password is not None:
                secret.unlink()
            raise
    except OSError as error:
        raise ConfigError(f"accounts/{path.name} could not be written: {error.strerror}.", hint=_RIGHT_USER) from None
    for place, made in schemas(where):
        if not place.exists():
            write_schema(place, made())


def _in_order(data: dict[str, Any]) -> dict[str, Any]:
    keys = [field.alias or name for name, field in Account.model_fields.items()]
    return {key: data[key] for key in keys if key in data}


def _tell(where: Instance, path: Path) -> None:
    say(f"accounts/{path.name} written; docs/accounts.md explains every setting")
    findings = [one for one in load_snapshot(where).findings if one.file == f"accounts/{path.name}"]
    for one in findings:
        say(f"{one.severity}: {one}", "red" if one.severity == "error" else "yellow")
    say(_next(findings))
    if any(one.severity == "error" for one in findings):
        raise typer.Exit(1)


def _next(findings: list[Finding]) -> str:
    if any(one.severity == "error" for one in findings):
        return "Next: mend what is said above, then `revscript check`."
    return (
        "Next: `revscript check` looks at everything; then `revscript run`, and `revscript status` in another terminal."
    )
