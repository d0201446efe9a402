"""How an account reaches its servers: authentication, receiving and sending, each told apart by one key."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from revscript.config.base import Host, Line, Minutes, Model, Name, Port, refuse, rule, whole
from revscript.config.secrets import Secret

Interval = Annotated[Minutes, Field(description="Minutes between two looks into the mailbox; decimals are allowed.")]
Insecure = Annotated[
    bool,
    Field(description="Allow an unencrypted connection; everybody on the way can read mails and password."),
]
FirstContact = Annotated[
    Literal["all", "new"] | None,
    Field(
        description='When the mailbox is watched for the first time: "all" processes the unread mails that lie in it, '
        '"new" only those that come later; without it "all".'
    ),
]


class NoAuthentication(Model):
    """The server asks for no login."""

    method: Literal["none"] = Field(default="none", description="No credentials are asked for and none are sent.")


class PasswordAuthentication(Model):
    """User name and password, the usual method."""

    method: Literal["password"] = Field(default="password", description="Log in with user name and password.")
    username: Name = Field(description="The user name, as the e-mail provider issued it.")
    password: Secret = Field(description='The password, or better "secret:NAME".')


class OAuth2Authentication(Model):
    """OAuth 2.0 with client credentials, for example for Microsoft 365."""

    method: Literal["oauth2"] = Field(default="oauth2", description="Log in with OAuth 2.0.")
    authority: Name = Field(description="The authority URL, as the provider names it.")
    tenant_id: Name = Field(description="The tenant (directory) id of your organisation.")
    client_id: Name = Field(description="The client (application) id of the app registration.")
    client_secret: Secret = Field(description='The client secret, or better "secret:NAME".')
    scope: Name = Field(description="The scope that is asked for.")


Authentication = Annotated[
    NoAuthentication | PasswordAuthentication | OAuth2Authentication, Field(discriminator="method")
]


class Move(Model):
    """Move the processed mail into a folder."""

    move: Name = Field(description="The folder into which a processed mail is moved.")


# RFC 9051 §9: a flag-keyword is an atom; what begins with a backslash is a system flag.
_KEYWORD = r"[!#$&'+,\-./0-9:;<=>?@A-Z\[^_`a-z|}~]+"


def _keyword(value: str) -> str | None:
    if re.fullmatch(_KEYWORD, value):
        return None
    return 'must be one word of letters, digits, "$", "-", "_" and ".", like "Erledigt" or "$Done"'


class Keyword(Model):
    """Set a keyword on the processed mail."""

    keyword: Annotated[Name, rule(_keyword, whole(_KEYWORD))] = Field(
        description="The IMAP keyword that a processed mail gets."
    )


def _kind_of_after(value: Any) -> str | None:
    """Which branch of `after` is meant: what it looks like decides, so that there is one clear error."""
    if value in ("seen", "delete", "none"):
        return "word"
    for kind, model in (("move", Move), ("keyword", Keyword)):
        if isinstance(value, model) or (isinstance(value, dict) and kind in value):
            return kind
    return None


After = Annotated[
    Annotated[Literal["seen", "delete", "none"], Tag("word")]
    | Annotated[Move, Tag("move")]
    | Annotated[Keyword, Tag("keyword")],
    Discriminator(
        _kind_of_after,
        custom_error_type="refused",
        custom_error_message='must be "seen", "delete", "none", {"move": "FOLDER"} or {"keyword": "WORD"}',
    ),
]


class NoReceiving(Model):
    """The account fetches nothing."""

    protocol: Literal["none"] = Field(default="none", description="The account is not used to receive.")


def _different(folders: tuple[str, ...]) -> tuple[str, ...]:
    seen: set[str] = set()
    for name in folders:
        if folder_id(name) in seen:
            raise refuse(f'names "{name}" twice; each folder once is enough')
        seen.add(folder_id(name))
    return folders


class Imap(Model):
    """Fetch with IMAP (RFC 9051, RFC 3501)."""

    protocol: Literal["imap"] = Field(default="imap", description="Receive with IMAP.")
    host: Host = Field(description="Host name of the IMAP server.")
    port: Port = Field(default=993, description="Port number of the IMAP server.")
    interval: Interval = 1
    after: After = Field(default="seen", description="What happens to a mail when all its methods are done.")
    folders: Annotated[tuple[Name, ...], AfterValidator(_different)] = Field(
        default=("INBOX",),
        min_length=1,
        max_length=100,
        description="The folders that are watched, each over a connection of its own.",
    )
    push: bool = Field(
        default=True, description="Let the server announce new mails at once (IDLE), beside the looks at each interval."
    )
    include_read: bool = Field(default=False, description="Process mails that somebody else has read already, too.")
    insecure: Insecure = False
    first_contact: FirstContact = None

    @model_validator(mode="after")
    def _moves_away(self) -> Self:
        if isinstance(self.after, Move) and folder_id(self.after.move) in map(folder_id, self.folders):
            raise refuse("must be another folder than the watched ones", at="after.move")
        return self


class Pop3(Model):
    """Fetch with POP3 (RFC 1939); processed mails are always deleted from the server."""

    protocol: Literal["pop3"] = Field(default="pop3", description="Receive with POP3.")
    host: Host = Field(description="Host name of the POP3 server.")
    port: Port = Field(default=995, description="Port number of the POP3 server.")
    interval: Interval = 1
    insecure: Insecure = False
    first_contact: FirstContact = None


Receiving = Annotated[NoReceiving | Imap | Pop3, Field(discriminator="protocol")]


class NoSending(Model):
    """The account sends nothing."""

    protocol: Literal["none"] = Field(default="none", description="The account is not used to send.")


class Smtp(Model):
    """Send with SMTP submission (RFC 6409, RFC 5321)."""

    protocol: Literal["smtp"] = Field(default="smtp", description="Send with SMTP.")
    host: Host = Field(description="Host name of the SMTP server.")
    port: Port = Field(default=587, description="Port number of the SMTP server.")
    sign: bool = Field(default=False, description="Sign outgoing mails with the stored certificate.")
    encrypt: Literal[False, True, "required"] = Field(
        default=False,
        description="Encrypt where the recipient's certificate is known; 'required' does not send otherwise.",
    )
    insecure: Insecure = False
    authentication: Authentication | None = Field(
        default=None, description="A login for sending only; without it the account's own is used."
    )


Sending = Annotated[NoSending | Smtp, Field(discriminator="protocol")]


def folder_id(name: Line) -> str:
    """Return a folder's name for comparing: INBOX in any case (RFC 9051 §5.1), all others exactly."""
    return "INBOX" if name.upper() == "INBOX" else name
