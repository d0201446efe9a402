"""What is to be said about a valid file: missing secrets and files, and settings that are unwise."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from revscript.config.account import Account, Canary
from revscript.config.environment import variable_of
from revscript.config.findings import Finding, shown
from revscript.config.mailbox import Imap, NoReceiving, NoSending, Pop3
from revscript.config.secrets import MASK
from revscript.config.settings import Settings

INSECURE = (
    "the connection may be unencrypted; everybody on the way can read mails and password. "
    "Take it out if the provider has an encrypted port"
)
IGNORED = (
    "the server's certificate is not checked; anybody on the way can be the server. "
    'Better: save the certificate of the server or of its authority as a file, and name it in "ca_file"'
)
MANY_FOLDERS = 5  # connections at once: many providers allow 10 to 15 a user, and mail programs need some


def review(account: Account, file: str, root: Path) -> Iterator[Finding]:
    """Yield the findings about one account; `root` is the instance, from which `ca_file` is found.

    Of a disabled account little is asked but valid values: it may wait for its secret.
    """
    if not account.enabled:
        if account.canary or account.expect_every:
            text = 'has no effect: the account is disabled and nobody watches it; set "enabled": true or leave it out'
            yield Finding(file, "canary" if account.canary else "expect_every", "", text, "warning")
        return
    yield from _secrets(account, file)
    if account.ca_file and not account.ignore_server_certificate and (text := _ca_file(account.ca_file, root)):
        yield Finding(file, "ca_file", f'"{account.ca_file}"', text)
    if account.canary and not account.methods.names():
        text = (
            "no method is on, so nobody reads the mails that come, and no canary is ever seen; set at least one, like "
            '"centre": true, or leave canary out'
        )
        yield Finding(file, "canary", "", text)
    for place, value, text in (*_security(account), *_rhythm(account), *_effects(account)):
        yield Finding(file, place, value, text, "warning")


def _secrets(account: Account, file: str) -> Iterator[Finding]:
    for place, secret in account.secrets():
        if secret.problem:
            yield Finding(file, place, secret.reference, secret.problem)
        elif not secret.reference:
            way_out = f'write it into secrets/{account.name} (chmod 600) and put "secret:{account.name}" here'
            text = f"stands here for everybody to read; {way_out}"
            yield Finding(file, place, MASK, text, "warning")


def _ca_file(name: str, root: Path) -> str:
    """Return why connections could not use the file, or nothing."""
    if not (root / name).is_file():
        return f"there is no file {name}; the path begins at the instance's folder"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(root / name)
    except ssl.SSLError:
        return f"{name} is no PEM file with a certificate (-----BEGIN CERTIFICATE-----)"
    except OSError as error:
        return f"{name} cannot be read: {error.strerror}"
    return ""


# --- places, values and texts of warnings -------------------------------------------------------------

_Said = tuple[str, str, str]


def _security(account: Account) -> Iterator[_Said]:
    for place, part in (("receiving", account.receiving), ("sending", account.sending)):
        if getattr(part, "insecure", False):
            yield f"{place}.insecure", "true", INSECURE
    if account.ignore_server_certificate:
        yield "ignore_server_certificate", "true", IGNORED
        if account.ca_file:
            yield "ca_file", shown(account.ca_file), "has no effect while ignore_server_certificate is true"


def _rhythm(account: Account) -> Iterator[_Said]:
    """Times that do not fit together."""
    receiving, expected = account.receiving, account.expect_every
    if isinstance(receiving, NoReceiving):
        if expected:
            yield "expect_every", f"{expected:g}", "has no effect: this account receives nothing; leave it out"
        return
    if expected and expected < receiving.interval:
        text = (
            f"{expected:g} minutes are less than receiving.interval ({receiving.interval:g}): "
            "silence would be told between two looks; make it several times the interval"
        )
        yield "expect_every", f"{expected:g}", text
    if account.canary:
        yield from _canary(account.canary, receiving.interval)
    if isinstance(receiving, Imap) and len(receiving.folders) > MANY_FOLDERS:
        text = (
            f"{len(receiving.folders)} folders are {len(receiving.folders)} connections to the server at once, "
            "and many servers allow 10 a user; have mails sorted into fewer folders"
        )
        yield "receiving.folders", "", text


def _canary(canary: Canary, interval: float) -> Iterator[_Said]:
    if canary.within < interval:
        text = (
            f"{canary.within:g} minutes are less than receiving.interval ({interval:g}): where the server cannot "
            "announce mails, each canary comes back too late; make it at least twice the interval"
        )
        yield "canary.within", f"{canary.within:g}", text
    if canary.within > canary.every:
        text = (
            f"{canary.within:g} minutes are more than canary.every ({canary.every:g}): several canaries would be "
            "under way at once; make it less"
        )
        yield "canary.within", f"{canary.within:g}", text


def _effects(account: Account) -> Iterator[_Said]:
    """Settings that do nothing, and accounts that do."""
    if text := _idle(account):
        yield "methods", "", text
    if account.methods.script is None and not isinstance(account.receiving, NoReceiving):
        for name in ("allowed_senders", "skip"):
            if getattr(account, name):
                yield name, "", "has no effect: methods.script is off, so there is no script to keep mails from"


def _idle(account: Account) -> str:
    if isinstance(account.receiving, NoReceiving):
        if account.methods.names():
            return "are never used: this account receives nothing; set receiving, or leave methods out"
        if isinstance(account.sending, NoSending):
            return 'this account neither receives nor sends; set receiving or sending, or "enabled": false'
    elif not account.methods.names():
        gone = isinstance(account.receiving, Pop3) or account.receiving.after == "delete"
        fate = "is fetched and deleted" if gone else "is fetched"
        return f'none is on: mail {fate}, and nothing else happens; set at least one, like "document": true'
    return ""


# --- settings -------------------------------------------------------------------------------------------


def review_settings(settings: Settings, path: Path) -> Iterator[Finding]:
    """Yield the findings about settings that are valid; `path` is their file."""
    alerts = settings.alerts
    if "alerts" in settings.model_fields_set and not alerts.mail and not alerts.webhook:
        text = "nobody is told: set mail or webhook, or leave alerts out"
        yield Finding(path.name, "alerts", "", text, "warning")
    urls = {("alerts", "webhook"): alerts.webhook, ("heartbeat", "url"): settings.heartbeat and settings.heartbeat.url}
    for place, url in urls.items():
        if url and urlsplit(url).password is not None and _open_to_others(path):
            text = (
                f"holds a password for everybody to read: chmod 600 {path.name}, "
                f"or set it by the environment variable {variable_of(place)}"
            )
            yield Finding(path.name, ".".join(place), shown(url), text, "warning")


def _open_to_others(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & 0o077)
    except OSError:
        return False
