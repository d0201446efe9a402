"""Settings and accounts: what the administrator's files say, checked."""

from __future__ import annotations

from revscript.config.account import (
    Account,
    CentreMethod,
    DocumentMethod,
    Mailbox,
    Methods,
    MissionFolderMethod,
    ScriptMethod,
)
from revscript.config.findings import Finding, raise_errors
from revscript.config.load import load_account, load_settings, read_account, read_accounts, read_settings
from revscript.config.mailbox import (
    Authentication,
    Imap,
    Keyword,
    Move,
    NoAuthentication,
    NoReceiving,
    NoSending,
    OAuth2Authentication,
    PasswordAuthentication,
    Pop3,
    Receiving,
    Sending,
    Smtp,
)
from revscript.config.secrets import Secret, Secrets
from revscript.config.settings import Backoff, Jail, Network, Organisation, Outbox, Settings

__all__ = [
    "Account",
    "Authentication",
    "Backoff",
    "CentreMethod",
    "DocumentMethod",
    "Finding",
    "Imap",
    "Jail",
    "Keyword",
    "Mailbox",
    "Methods",
    "MissionFolderMethod",
    "Move",
    "Network",
    "NoAuthentication",
    "NoReceiving",
    "NoSending",
    "OAuth2Authentication",
    "Organisation",
    "Outbox",
    "PasswordAuthentication",
    "Pop3",
    "Receiving",
    "ScriptMethod",
    "Secret",
    "Secrets",
    "Sending",
    "Settings",
    "Smtp",
    "load_account",
    "load_settings",
    "raise_errors",
    "read_account",
    "read_accounts",
    "read_settings",
]
