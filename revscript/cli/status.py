"""`revscript status`: does everything work, and what needs a person."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Any, cast

import typer

from revscript.cli.options import InstanceOption, JsonOption, has_store, instance_at, stores_of, zone_of
from revscript.cli.output import emit, say, shown, span, table
from revscript.config import Account
from revscript.health import stored_problems
from revscript.model import wall_clock
from revscript.snapshot import Instance, Snapshot, load_snapshot
from revscript.store import views
from revscript.store.database import Database

MAIL_STATES = ("received", "read", "done")
ACT_STATES = ("pending", "sent", "dead")
_COLUMNS = ("name", "label", "mailbox", "enabled", "proven", "next poll", "mails", "quarantined", "error")

Row = dict[str, Any]


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
    rows = _rows(where, wall_clock())
    if as_json:
        for row in rows:
            emit(row)
    else:
        _tell(rows, where)
    if check and not _good(rows):
        raise typer.Exit(1)


def _good(rows: list[Row]) -> bool:
    errors = any(row["type"] == "problem" and row["severity"] == "error" for row in rows)
    return rows[0]["running"] and not errors


def running_host(instance: Instance) -> int | None:
    """The process id of the host that runs on the instance; None when none does, 0 when it is not known."""
    try:
        file = (instance.data / "host.lock").open()
    except FileNotFoundError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            text = file.read().strip()
            return int(text) if text.isdecimal() else 0
    return None


# ---------------------------------------------------------------- gathering


def _rows(instance: Instance, now: datetime) -> list[Row]:
    snapshot, has_run = load_snapshot(instance), has_store(instance)
    pid = running_host(instance)
    rows: list[Row] = [{"type": "host", "running": pid is not None, "pid": pid or None}]
    if not has_run:
        return [*rows, *(_account(account, None, now) for account in snapshot.accounts.values())]
    with stores_of(instance) as stores:
        rows += _accounts(snapshot, stores.database, now)
        acts = views.acts_by_state(stores.database)
        rows.append({"type": "outbox", **{state: acts.get(state, 0) for state in ACT_STATES}})
        rows += _problems(stores.database)
    return rows


def _accounts(snapshot: Snapshot, database: Database, now: datetime) -> Iterator[Row]:
    boxes = {_url(*list(box.values())[:4]): box for box in views.mailboxes(database)}
    mails, held = views.mails_by_state(database), views.quarantined_by_account(database)
    for name in sorted({*snapshot.accounts, *mails}):
        account = snapshot.accounts.get(name)
        row = _account(account, boxes, now) if account else _orphan(name)
        counts = mails.get(name, {})
        row["mails"] = {state: counts.get(state, 0) for state in MAIL_STATES}
        row["quarantined"] = held.get(name, 0)
        yield row


def _account(account: Account, boxes: dict[str, views.View] | None, now: datetime) -> Row:
    watched = account.mailboxes()
    url = _url(*watched[0]) if watched else None
    box = (boxes or {}).get(url or "", {})
    last_ok = cast("datetime | None", box.get("last_ok"))
    return {
        "type": "account",
        "name": account.name,
        "label": account.label,
        "mailbox": url,
        "enabled": account.enabled,
        "last_ok": last_ok,
        "age": round((now - last_ok).total_seconds(), 1) if last_ok else None,
        "next_poll": box.get("next_poll"),
        "error": box.get("error", ""),
        "mails": dict.fromkeys(MAIL_STATES, 0),
        "quarantined": 0,
    }


def _orphan(name: str) -> Row:
    """An account of which there are mails, but no good file any more."""
    empty: Row = dict.fromkeys(("mailbox", "enabled", "last_ok", "age", "next_poll"))
    error = "its file is gone or has an error; see `revscript check`"
    return {"type": "account", "name": name, "label": ""} | empty | {"enabled": False, "error": error}


def _url(protocol: str, host: str, user: str, folder: str) -> str:
    return f"{protocol}://{user}@{host}/{folder}"


def _problems(database: Database) -> Iterator[Row]:
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
        }


# ---------------------------------------------------------------- telling


def _tell(rows: list[Row], instance: Instance) -> None:
    zone, host = zone_of(instance), rows[0]
    running = f"a host runs (process {host['pid'] or 'unknown'})" if host["running"] else "no host runs"
    say(f"{instance.root}: {running}", "bold" if host["running"] else "bold red")
    accounts = [_cells(row) for row in rows if row["type"] == "account"]
    if accounts:
        table(_COLUMNS, accounts, zone)
    for row in rows:
        if row["type"] == "outbox":
            say("outbox: " + ", ".join(f"{row[state]} {state}" for state in ACT_STATES))
        elif row["type"] == "problem":
            say(f"{row['severity']}: {row['where']}: {row['what']}", "red" if row["severity"] == "error" else "yellow")
            say(f"since {shown(row['since'], zone)}; {row['way_out']}", indent=2)


def _cells(row: Row) -> list[Any]:
    proven = "never" if row["last_ok"] is None else f"{span(timedelta(seconds=row['age']))} ago"
    mails = {state: count for state, count in row["mails"].items() if count}
    middle = [row["mailbox"], row["enabled"], proven, row["next_poll"], mails, row["quarantined"]]
    return [row["name"], row["label"], *middle, row["error"]]
