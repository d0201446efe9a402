"""What is to be said about a valid account: missing secrets and files, and settings that are unwise."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

from revscript.config.account import Account
from revscript.config.findings import Finding
from revscript.config.mailbox import NoReceiving, NoSending, Pop3
from revscript.config.secrets import MASK

INSECURE = "the connection may be unencrypted; everybody on the way can read mails and password"


def review(account: Account, file: str, root: Path) -> Iterator[Finding]:
    """Yield the findings about one account; `root` is the instance, from which `ca_file` is found.

    Of a disabled account nothing is asked but valid values: it may wait for its secret.
    """
    if not account.enabled:
        return
    yield from _secrets(account, file)
    if account.ca_file and (text := _ca_file(account.ca_file, root)):
        yield Finding(file, "ca_file", f'"{account.ca_file}"', text)
    for place, part in (("receiving", account.receiving), ("sending", account.sending)):
        if getattr(part, "insecure", False):
            yield Finding(file, f"{place}.insecure", "true", INSECURE, "warning")
    if text := _idle(account):
        yield Finding(file, "methods", "", text, "warning")


def _secrets(account: Account, file: str) -> Iterator[Finding]:
    for place, secret in account.secrets():
        if secret.problem:
            yield Finding(file, place, secret.reference, secret.problem)
        elif not secret.reference:
            way_out = f'write it into secrets/{account.name} and put "secret:{account.name}" here'
            text = f"stands here for everybody to read; {way_out}"
            yield Finding(file, place, MASK, text, "warning")


def _ca_file(name: str, root: Path) -> str:
    """Return why connections could not use the file, or nothing."""
    if not (root / name).is_file():
        return f"there is no file {name}"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(root / name)
    except ssl.SSLError:
        return f"{name} is no PEM file with a certificate (-----BEGIN CERTIFICATE-----)"
    except OSError as error:
        return f"{name} cannot be read: {error.strerror}"
    return ""


def _idle(account: Account) -> str:
    if isinstance(account.receiving, NoReceiving):
        if account.methods.names():
            return "are never used: this account receives nothing"
        if isinstance(account.sending, NoSending):
            return "this account neither receives nor sends"
    elif not account.methods.names():
        gone = isinstance(account.receiving, Pop3) or account.receiving.after == "delete"
        fate = "is fetched and deleted" if gone else "is fetched"
        return f"none is on: mail {fate}, and nothing else happens"
    return ""
