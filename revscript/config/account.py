"""One mail account: `accounts/NAME.json`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field, PrivateAttr

from revscript.config.base import Address, Line, Minutes, Model, Name, refuse, rule
from revscript.config.mailbox import (
    Authentication,
    Imap,
    NoAuthentication,
    NoReceiving,
    NoSending,
    OAuth2Authentication,
    PasswordAuthentication,
    Receiving,
    Sending,
    Smtp,
    folder_id,
)
from revscript.config.secrets import Secret


def _script_file(value: str) -> str | None:
    good = value.endswith(".py") and "/" not in value and "\\" not in value and value[0] not in "._"
    return None if good else 'must be the name of a file in user_scripts, like "onEMail.py"'


def _sender(value: str) -> str | None:
    return None if "@" in value and " " not in value else 'must be an address or a domain like "@leitstelle.example"'


class ScriptMethod(Model):
    """Run the administrators' script."""

    file: Annotated[Name, rule(_script_file)] = Field(
        default="onEMail.py", description="The script in user_scripts whose onEMail is called."
    )


class DocumentMethod(Model):
    """File the mail as an incoming message form."""


class CentreMethod(Model):
    """Show the mail in the communication centre."""


class MissionFolderMethod(Model):
    """Put the mail's attachments into the folder of the running mission."""

    inline: bool = Field(default=False, description="Take pictures that are embedded in the text, too.")


def _switch(value: Any) -> Any:
    """`true` is the method with its defaults, `false` is no method."""
    if value is True:
        return {}
    if value is False or value is None:
        return None
    if isinstance(value, dict | Model):
        return value  # pyright: ignore[reportUnknownVariableType]
    raise refuse("must be true, false or an object with the method's settings")


class Methods(Model):
    """What happens to each mail of the account: any combination of four."""

    script: Annotated[ScriptMethod | None, BeforeValidator(_switch, json_schema_input_type=bool | ScriptMethod)] = (
        Field(default=None, description="Run a script on incoming mail.")
    )
    document: Annotated[
        DocumentMethod | None, BeforeValidator(_switch, json_schema_input_type=bool | DocumentMethod)
    ] = Field(default=None, description="Record incoming mail as an incoming message form.")
    centre: Annotated[CentreMethod | None, BeforeValidator(_switch, json_schema_input_type=bool | CentreMethod)] = (
        Field(default=None, description="Show incoming mail in the communication centre.")
    )
    mission_folder: Annotated[
        MissionFolderMethod | None,
        BeforeValidator(_switch, json_schema_input_type=bool | MissionFolderMethod),
    ] = Field(default=None, description="Take all attachments into the folder of the running mission.")

    def names(self) -> tuple[str, ...]:
        """Return the names of the methods that are on, in the order in which they run."""
        return tuple(name for name in type(self).model_fields if getattr(self, name) is not None)


class Mailbox(NamedTuple):
    """The ledger's identity of a mailbox: whatever the account file is called, its mails are the same."""

    protocol: str
    host: str
    username: str
    folder: str


class Account(Model):
    """A mail account and what happens to its mails."""

    schema_url: str | None = Field(
        default=None,
        alias="$schema",
        exclude=True,
        description="Where an editor finds the schema of this file.",
    )
    label: Line = Field(default="", description="A name of your choice, for display only.")
    address: Address = Field(description="The complete e-mail address of the account.")
    enabled: bool = Field(default=True, description="Whether the account is used at all.")
    authentication: Authentication = Field(
        default=NoAuthentication(),
        description="How to log in; the e-mail provider says which method applies.",
    )
    receiving: Receiving = Field(
        default=NoReceiving(),
        description="Whether and how mail is fetched; the e-mail provider knows the data.",
    )
    sending: Sending = Field(
        default=NoSending(), description="Whether and how mail is sent; the e-mail provider knows the data."
    )
    ignore_server_certificate: bool = Field(
        default=False,
        description="Skip the check of the server's certificate; only for own systems with self-signed ones.",
    )
    ca_file: Name | None = Field(
        default=None,
        description="PEM file of the authority that issued the server's certificate, if it is your own.",
    )
    methods: Methods = Field(default=Methods(), description="What happens to each incoming mail.")
    allowed_senders: tuple[Annotated[Name, rule(_sender)], ...] = Field(
        default=(),
        max_length=1000,
        description="Only mails from these addresses and @domains reach the script.",
    )
    skip: tuple[Literal["auto_reply", "bounce", "list"], ...] = Field(
        default=(), max_length=10, description="Kinds of mails that do not reach the script."
    )
    max_age: Minutes = Field(
        default=30, description="Minutes after which a mail is late: its alarms are downgraded, not repeated."
    )
    addressee: Line = Field(
        default="", description="The addressee of incoming message forms; without it the organisation's name."
    )

    _name: str = PrivateAttr(default="")

    def model_post_init(self, context: Any, /) -> None:
        """Take the account's name, that of its file, from the loader."""
        self._name = (context or {}).get("name", "")

    @property
    def name(self) -> str:
        """The account's name: its file's, without `.json`."""
        return self._name

    def mailboxes(self) -> tuple[Mailbox, ...]:
        """Return the watched mailboxes, one a folder; none where the account receives nothing."""
        receiving = self.receiving
        if isinstance(receiving, NoReceiving):
            return ()
        folders = receiving.folders if isinstance(receiving, Imap) else ("INBOX",)
        host = receiving.host.lower().rstrip(".")
        return tuple(Mailbox(receiving.protocol, host, self._username(), folder_id(name)) for name in folders)

    def _username(self) -> str:
        login = self.authentication
        if isinstance(login, PasswordAuthentication):
            return login.username
        return self.address if isinstance(login, OAuth2Authentication) else ""

    def sending_login(self) -> Authentication:
        """Return the login for sending: its own, else the account's."""
        own = self.sending.authentication if isinstance(self.sending, Smtp) else None
        return own or self.authentication

    def secrets(self) -> Iterator[tuple[str, Secret]]:
        """Yield every secret with its place in the file."""
        logins = [("authentication", self.authentication)]
        if isinstance(self.sending, Smtp) and self.sending.authentication:
            logins.append(("sending.authentication", self.sending.authentication))
        for place, login in logins:
            if isinstance(login, PasswordAuthentication):
                yield f"{place}.password", login.password
            elif isinstance(login, OAuth2Authentication):
                yield f"{place}.client_secret", login.client_secret
