"""One mail account: `accounts/NAME.json`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BeforeValidator, Field, PrivateAttr, model_validator

from revscript.config.base import Address, Line, Minutes, Model, Name, Sender, refuse, rule
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

_SCRIPT_FILE = r"^(?!test_)[^._/\\][^/\\]*\.py$"


def _script_file(value: str) -> str | None:
    if not value.endswith(".py") or "/" in value or "\\" in value:
        return 'must be the name of a file in user_scripts, like "onEMail.py"'
    if value.startswith((".", "_", "test_")):
        return 'must not begin with ".", "_" or "test_": such files are no scripts'
    return None


class ScriptMethod(Model):
    """Run the administrators' script."""

    file: Annotated[Name, rule(_script_file, _SCRIPT_FILE)] = Field(
        default="onEMail.py", description="The script in user_scripts whose onEMail is called."
    )


class DocumentMethod(Model):
    """File the mail as an incoming message form."""


class CentreMethod(Model):
    """Show the mail in the communication centre."""


class MissionFolderMethod(Model):
    """Put the mail's attachments into the folder of the running mission."""

    inline: bool = Field(default=False, description="Take pictures that are embedded in the text, too.")


def _switched(model: type[Model], example: str = "") -> BeforeValidator:
    """`true` is the object with its defaults, `false` is none."""
    allowed = f"must be true, false or an object like {example}" if example else "must be true or false"

    def switch(value: Any) -> Any:
        if value is True:
            return {}
        if value is False or value is None:
            return None
        if isinstance(value, dict | Model):
            return value  # pyright: ignore[reportUnknownVariableType]
        raise refuse(allowed)

    return BeforeValidator(switch, json_schema_input_type=bool | model | None)


class Methods(Model):
    """What happens to each mail of the account: any combination of four."""

    script: Annotated[ScriptMethod | None, _switched(ScriptMethod, '{"file": "onEMail.py"}')] = Field(
        default=None, description="Run a script on incoming mail."
    )
    document: Annotated[DocumentMethod | None, _switched(DocumentMethod)] = Field(
        default=None, description="Record incoming mail as an incoming message form."
    )
    centre: Annotated[CentreMethod | None, _switched(CentreMethod)] = Field(
        default=None, description="Show incoming mail in the communication centre."
    )
    mission_folder: Annotated[MissionFolderMethod | None, _switched(MissionFolderMethod, '{"inline": true}')] = Field(
        default=None, description="Take all attachments into the folder of the running mission."
    )

    def names(self) -> tuple[str, ...]:
        """Return the names of the methods that are on, in the order in which they run."""
        return tuple(name for name in type(self).model_fields if getattr(self, name) is not None)


class Canary(Model):
    """A mail that the account sends to itself, as a proof that mail really comes through."""

    every: Annotated[float, Field(gt=0, le=1440)] = Field(default=15, description="Minutes between two such mails.")
    within: Annotated[float, Field(gt=0, le=1440)] = Field(
        default=5, description="Minutes within which it must be back; then it is a problem."
    )


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
    allowed_senders: tuple[Sender, ...] = Field(
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
    expect_every: Minutes | None = Field(
        default=None, description="Minutes within which mail usually comes; a longer silence is a problem."
    )
    canary: Annotated[Canary | None, _switched(Canary, '{"every": 15, "within": 5}')] = Field(
        default=None, description="Send a mail to the account itself now and then, to prove that mail comes through."
    )
    addressee: Line = Field(
        default="", description="The addressee of incoming message forms; without it the organisation's name."
    )

    _name: str = PrivateAttr(default="")

    @model_validator(mode="after")
    def _canary_can_fly(self) -> Self:
        if self.canary and (isinstance(self.receiving, NoReceiving) or isinstance(self.sending, NoSending)):
            lacks = "receiving" if isinstance(self.receiving, NoReceiving) else "sending"
            text = f"needs an account that both receives and sends; set {lacks}, or leave canary out"
            raise refuse(text, at="canary")
        return self

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
