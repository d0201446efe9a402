"""Instance folders for tests and benchmarks: account files for the test servers, scripts, settings."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from revscript.host import DATABASE, Host
from revscript.snapshot import Instance
from revscript.store.ledger import Due
from tests.servers.dovecot import PASSWORD, Dovecot

FAST = 0.02  # minutes between polls


def imap_account(dovecot: Dovecot, user: str, **more: Any) -> dict[str, Any]:
    """An account file's content for a test mailbox (TLS with the test CA); `receiving` and others are merged in."""
    receiving = {"protocol": "imap", "host": "localhost", "port": dovecot.imap, "interval": FAST}
    account: dict[str, Any] = {
        "address": f"{user}@post.example",
        "authentication": {"method": "password", "username": user, "password": PASSWORD},
        "receiving": receiving | more.pop("receiving", {}),
        "ca_file": str(dovecot.ca_pem),
    }
    return account | more


def smtp(port: int) -> dict[str, Any]:
    """A `sending` block for a sink without login."""
    return {"protocol": "smtp", "host": "localhost", "port": port, "authentication": {"method": "none"}}


def make_instance(
    root: Path,
    accounts: dict[str, dict[str, Any]],
    scripts: dict[str, str] | None = None,
    settings: dict[str, Any] | None = None,
) -> Instance:
    """Write the files of an instance folder. Without settings for `web` no port is opened: many hosts run at once."""
    for folder in ("accounts", "user_scripts"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name, account in accounts.items():
        (root / "accounts" / f"{name}.json").write_text(json.dumps(account))
    for name, text in (scripts or {}).items():
        (root / "user_scripts" / name).write_text(text)
    (root / "settings.json").write_text(json.dumps({"web": {"enabled": False}} | (settings or {})))
    return Instance(root)


@contextmanager
def running(instance: Instance) -> Generator[Host]:
    """A started host, stopped at the end."""
    host = Host(instance)
    host.start()
    try:
        yield host
    finally:
        host.stop()


def rows(instance: Instance, query: str, *values: object) -> list[tuple[Any, ...]]:
    """Ask the instance's database directly, beside the host."""
    with closing(sqlite3.connect(instance.data / DATABASE, timeout=30)) as connection:
        return connection.execute(query, values).fetchall()


def wait_until(true: Callable[[], bool], timeout: float, what: str, pause: float = 0.02) -> None:
    """Wait for something to become true; AssertionError that names it otherwise."""
    until = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < until, f"not within {timeout} s: {what}"
        time.sleep(pause)


def due(now: datetime) -> Due:
    """What may be tried at a time, with pauses of less than an hour."""
    return Due(now, now + timedelta(hours=1))


def settled(instance: Instance) -> int:
    """How many mails are settled."""
    return rows(instance, "SELECT count(*) FROM mail WHERE settle = 'settled'")[0][0]
