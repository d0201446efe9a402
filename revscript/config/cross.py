"""What is to be said about the files together: accounts on one mailbox, settings that name accounts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from revscript.config.account import Account, Mailbox
from revscript.config.base import is_loopback
from revscript.config.findings import Finding, shown
from revscript.config.mailbox import NoReceiving, NoSending
from revscript.config.settings import Settings

SETTINGS = "settings.json"


def same_mailbox(accounts: dict[str, Account], folder: str) -> list[Finding]:
    """Take out every account that watches a mailbox of another one: each mail would be processed twice.

    A disabled account on the mailbox of another one, and a host under two names, are told as warnings.
    """
    owners: dict[Mailbox, str] = {}
    findings: list[Finding] = []
    for name in sorted(accounts, key=lambda one: not accounts[one].enabled):  # the enabled ones come first
        account = accounts[name]
        file = f"{folder}/{name}.json"
        watched = account.mailboxes()
        if taken := [owners[mailbox] for mailbox in watched if mailbox in owners]:
            findings.append(_twin(file, taken[0], enabled=account.enabled and accounts[taken[0]].enabled))
            if account.enabled:
                del accounts[name]
            continue
        if account.enabled and (like := _like(watched, owners)):
            findings.append(_perhaps_twin(file, *like))
        if account.enabled:
            owners.update(dict.fromkeys(watched, name))
    return findings


def _twin(file: str, other: str, *, enabled: bool) -> Finding:
    if enabled:
        text = f'watches the same mailbox as the account "{other}"; set "enabled": false in one of them'
        return Finding(file, "receiving", "", text)
    text = f'is the mailbox of the account "{other}", too: only one of them can be enabled; delete the other file'
    return Finding(file, "receiving", "", text, "warning")


def _like(watched: tuple[Mailbox, ...], owners: Mapping[Mailbox, str]) -> tuple[str, str] | None:
    """The account, and its host, that probably watches one of these mailboxes under another spelling."""
    for one in watched:
        for other, name in owners.items():
            same_box = (one.username.lower(), one.folder) == (other.username.lower(), other.folder)
            if same_box and _one_provider(one.host, other.host):
                return name, other.host
    return None


def _one_provider(one: str, other: str) -> bool:
    if one == other or (is_loopback(one) and is_loopback(other)):
        return True
    return "." in one and one.split(".")[-2:] == other.split(".")[-2:] and not one.replace(".", "").isdigit()


def _perhaps_twin(file: str, other: str, host: str) -> Finding:
    text = (
        f'seems to be the mailbox of the account "{other}" ({host}) under another spelling; '
        'if it is, each mail is processed twice: set "enabled": false in one of them'
    )
    return Finding(file, "receiving", "", text, "warning")


def review_together(settings: Settings, accounts: Mapping[str, Account]) -> Iterator[Finding]:
    """Yield what is wrong with the accounts that the settings name."""
    if settings.default_sender:
        yield from _sender(settings.default_sender, "default_sender", accounts)
    mail = settings.alerts.mail
    if mail is None:
        return
    yield from _sender(mail.account, "alerts.mail.account", accounts)
    watched = {account.address.lower(): name for name, account in accounts.items() if _watches(account)}
    for number, address in enumerate(mail.to):
        if name := watched.get(address.lower()):
            text = f'is the address of the account "{name}", which is watched here: name a mailbox that people read'
            yield Finding(SETTINGS, f"alerts.mail.to[{number}]", shown(address), text, "warning")


def _watches(account: Account) -> bool:
    return account.enabled and not isinstance(account.receiving, NoReceiving)


def _sender(name: str, place: str, accounts: Mapping[str, Account]) -> Iterator[Finding]:
    senders = [one for one, account in accounts.items() if account.enabled and not _silent(account)]
    if name in senders:
        return
    yield Finding(
        SETTINGS, place, shown(name), f'"{name}" {_why_not(name, accounts)}{_instead(name, senders)}', "warning"
    )


def _silent(account: Account) -> bool:
    return isinstance(account.sending, NoSending)


def _why_not(name: str, accounts: Mapping[str, Account]) -> str:
    if (account := accounts.get(name)) is None:
        return f"cannot send: there is no account accounts/{name}.json without errors"
    if not account.enabled:
        return f'cannot send: set "enabled": true in accounts/{name}.json'
    return f"cannot send: give accounts/{name}.json a sending block"


def _instead(name: str, senders: list[str]) -> str:
    if close := get_close_matches(name.lower(), senders, 1):
        return f'; did you mean "{close[0]}"?'
    return f"; accounts that send: {', '.join(senders[:5])}" if senders else ""
