"""`revscript status`: does everything work, and what needs a person."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, NamedTuple

import typer

from revscript.cli.options import InstanceOption, JsonOption, has_store, instance_at, stores_of, zone_of
from revscript.cli.output import emit
from revscript.cli.status_text import Row, tell
from revscript.config import Account, Mailbox
from revscript.errors import ConfigError, RevscriptError, StoreError
from revscript.health import stored_problems
from revscript.host.lock import LOCK
from revscript.model import wall_clock
from revscript.snapshot import Instance, Snapshot, load_snapshot
from revscript.store import measures
from revscript.store.database import Database
from revscript.store.measures import Box

MAIL_STATES = ("received", "read", "done")
ACT_STATES = ("pending", "sent", "dead")
UNHANDLED_WITHIN = timedelta(days=1)
_WORST_FIRST = ("down", "", "poll", "push")  # an account is as well as its worst folder


def status(
    instance: InstanceOption = None,
    as_json: JsonOption = False,
    check: Annotated[bool, typer.Option("--check", help="Exit code 1 when no host runs or an error is open.")] = False,
) -> None:
    """Show whether all is well.

    Whether a host runs, how each account does, what waits to be sent, and the open problems. An account's health is the
    age of the last round trip that its server answered well.

    JSON: each object's kind is under `type`: host, account, outbox, problem.
    """
    where = instance_at(instance)
    rows, unreadable = _rows(where, wall_clock())
    if as_json:
        for row in rows:
            emit(row)
    else:
        tell(rows, where.root, zone_of(where), wall_clock())
    if unreadable:
        raise unreadable
    if check and not _good(rows):
        raise typer.Exit(1)


def _good(rows: list[Row]) -> bool:
    errors = any(row["type"] == "problem" and row["severity"] == "error" for row in rows)
    return rows[0]["running"] and not errors


class RunningHost(NamedTuple):
    """The host that runs on an instance; what its lock file does not tell is None."""

    pid: int | None
    version: str | None
    since: datetime | None


def running_host(instance: Instance) -> RunningHost | None:
    """Who holds the instance's lock; None when no host runs. ConfigError where this user may not look."""
    try:
        file = (instance.data / LOCK).open(errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(
            f"{instance.data / LOCK}: {error.strerror}.", hint="Use the user account under which the host runs."
        ) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return _lock_says(file.read())
    return None


def _lock_says(text: str) -> RunningHost:
    """`PID VERSION SINCE`, the last two since 0.2."""
    pid, version, since, *_ = *text.split(), "", "", ""
    try:
        began = datetime.fromisoformat(since).astimezone(UTC) if since else None
    except ValueError:
        began = None
    return RunningHost(int(pid) if pid.isdecimal() else None, version or None, began)


# ---------------------------------------------------------------- gathering


def _rows(instance: Instance, now: datetime) -> tuple[list[Row], RevscriptError | None]:
    """What is known; and why not all of it, when the store cannot be read."""
    snapshot = load_snapshot(instance)
    host, unreadable = _host(instance)
    try:
        stored = _stored(instance, snapshot, now) if has_store(instance) else None
    except (ConfigError, StoreError) as error:
        stored, unreadable = None, error
    why = "not known: see the error below" if unreadable else ""
    alone = (_account(account, {}, now, why) for account in snapshot.accounts.values())
    return [host, *(alone if stored is None else stored)], unreadable


def _host(instance: Instance) -> tuple[Row, RevscriptError | None]:
    unknown = RunningHost(None, None, None)
    try:
        host = running_host(instance)
    except ConfigError as error:
        return {"type": "host", "running": None, **unknown._asdict()}, error
    return {"type": "host", "running": host is not None, **(host or unknown)._asdict()}, None


def _stored(instance: Instance, snapshot: Snapshot, now: datetime) -> list[Row]:
    with stores_of(instance, read_only=True) as stores:
        rows = list(_accounts(snapshot, stores.database, now))
        acts = measures.standings(stores.database).acts
        rows.append({"type": "outbox", **{state: acts.get(state, 0) for state in ACT_STATES}})
        return [*rows, *_problems(stores.database, now)]


def _accounts(snapshot: Snapshot, database: Database, now: datetime) -> Iterator[Row]:
    boxes, mails = measures.boxes(database), measures.mails_by_state(database)
    held = measures.standings(database).quarantined
    unhandled = measures.unhandled(database, now - UNHANDLED_WITHIN)
    for name in sorted({*snapshot.accounts, *mails}):
        account = snapshot.accounts.get(name)
        row = _account(account, boxes, now) if account else _orphan(name)
        counts = mails.get(name, {})
        row["mails"] = {state: counts.get(state, 0) for state in MAIL_STATES}
        row["quarantined"] = held.get(name, 0)
        row["unhandled"] = unhandled.get(name, 0)
        yield row


def _account(account: Account, boxes: Mapping[Mailbox, Box], now: datetime, unknown: str = "") -> Row:
    folders = [_folder(key, boxes.get(key), now, unknown) for key in account.mailboxes()]
    worst = min(folders, key=_health, default=None) or _folder(None, None, now, unknown)
    names = ("mailbox", "mode", "last_ok", "age", "next_poll", "error")
    return {
        "type": "account",
        "name": account.name,
        "label": account.label,
        "enabled": account.enabled,
        **{name: worst[name] for name in names},
        "read_by_others": sum(folder["read_by_others"] for folder in folders),
        "mails": dict.fromkeys(MAIL_STATES, 0),
        "quarantined": 0,
        "unhandled": 0,
        "folders": folders,
    }


def _health(folder: Row) -> tuple[int, float]:
    """Sorts the worst first."""
    place = _WORST_FIRST.index(folder["mode"]) if folder["mode"] in _WORST_FIRST else 0
    return place, 0.0 if folder["age"] is None else -folder["age"]


def _folder(key: Mailbox | None, box: Box | None, now: datetime, unknown: str) -> Row:
    """`unknown`: why nothing is known of it."""
    last_ok = box.last_ok if box else None
    return {
        "folder": key.folder if key else None,
        "mailbox": f"{key.protocol}://{key.username}@{key.host}/{key.folder}" if key else None,
        "mode": box.mode if box else "",
        "last_ok": last_ok,
        "age": round(max(0.0, (now - last_ok).total_seconds()), 1) if last_ok else None,
        "next_poll": box.next_poll if box else None,
        "last_mail": box.mail_at if box else None,
        "read_by_others": box.read_by_others if box else 0,
        "error": box.error if box else unknown,
    }


def _orphan(name: str) -> Row:
    """An account of which there are mails, but no good file any more."""
    empty: Row = dict.fromkeys(("mailbox", "last_ok", "age", "next_poll"))
    error = "its file is gone or has an error; see `revscript check`"
    fixed: Row = {"mode": "", "error": error, "read_by_others": 0, "folders": []}
    return {"type": "account", "name": name, "label": "", "enabled": False} | empty | fixed


def _problems(database: Database, now: datetime) -> Iterator[Row]:
    for one in stored_problems(database):
        problem = one.problem
        yield {
            "type": "problem",
            "key": problem.key,
            "severity": problem.severity,
            "where": problem.where,
            "what": problem.what,
            "way_out": problem.way_out,
            "since": one.since,
            "seconds": round(max(0.0, (now - one.since).total_seconds())),
        }
