"""What `revscript status` tells people: a table where there is room for one, else a block for each account."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

from revscript.cli.output import ROOM, console, say, say_parts, shown, span, table

Row = dict[str, Any]

_COLUMNS = ("account", "label", "folder", "mode", "proven", "next poll", "last mail", "mails")


def tell(rows: list[Row], root: Path, zone: tzinfo, now: datetime) -> None:
    """Print all that `status` has gathered."""
    host, accounts = rows[0], [row for row in rows if row["type"] == "account"]
    say(f"{root}: {_host(host, zone)}", "bold" if host["running"] else "bold red")
    if accounts and console().width >= ROOM:
        table(_COLUMNS, _lines(accounts, now), zone)
        for row in accounts:
            _errors(row, f"{row['name']}: ")
    else:
        for row in accounts:
            _block(row, now)
    for row in rows:
        if row["type"] == "outbox":
            say("outbox: " + ", ".join(f"{row[state]} {state}" for state in ("pending", "sent", "dead")))
        elif row["type"] == "problem":
            _problem(row, zone)


def _host(host: Row, zone: tzinfo) -> str:
    if not host["running"]:
        return "no host runs" if host["running"] is False else "it cannot be seen whether a host runs"
    known = (
        f"process {host['pid'] or 'unknown'}",
        host["version"] and f"version {host['version']}",
        host["since"] and f"since {shown(host['since'], zone)}",
    )
    return f"a host runs ({', '.join(part for part in known if part)})"


# ---------------------------------------------------------------- accounts


def _lines(accounts: Iterable[Row], now: datetime) -> Iterator[list[Any]]:
    """A line for each folder; what belongs to the whole account stands in its first."""
    for row in accounts:
        first: list[Any] = [row["name"], row["label"]]
        for folder in row["folders"] or [None]:
            cells = _folder_cells(folder, row["enabled"], now) if folder else ["-", _mode(row), "-", "-", "-"]
            yield [*first, *cells, ", ".join(_counts(row)) if first[0] else " "]
            first = [" ", " "]


def _folder_cells(folder: Row, enabled: bool, now: datetime) -> list[str]:
    return [
        folder["folder"] or "-",
        _mode(folder, enabled=enabled),
        "never" if folder["age"] is None else f"{span(timedelta(seconds=folder['age']))} ago",
        _until(folder["next_poll"], now) if enabled else "-",
        f"{span(max(timedelta(), now - folder['last_mail']))} ago" if folder["last_mail"] else "-",
    ]


def _mode(row: Row, *, enabled: bool = True) -> str:
    return (row["mode"] or "-") if enabled and row.get("enabled", True) else "off"


def _until(due: datetime | None, now: datetime) -> str:
    if due is None:
        return "-"
    return f"in {span(due - now)}" if due >= now else f"{span(now - due)} late"


def _counts(row: Row) -> list[str]:
    states = [f"{count} {state}" for state, count in row["mails"].items() if count]
    more = (
        (row["quarantined"], "in quarantine"),
        (row["unhandled"], "unhandled in 24 h"),
        (row["read_by_others"], "read by others first"),
    )
    return [*states, *(f"{count} {words}" for count, words in more if count)] or ["no mails"]


def _block(row: Row, now: datetime) -> None:
    label, off = f" ({row['label']})" if row["label"] else "", "" if row["enabled"] else ", switched off"
    say(f"{row['name']}{label}{off}", "bold")
    for folder in row["folders"]:
        name, mode, proven, due, last = _folder_cells(folder, row["enabled"], now)
        parts = (
            mode if mode not in ("-", "off") else "",
            f"proven {proven}",
            f"next poll {due}" if due != "-" else "",
            f"last mail {last}" if last != "-" else "",
        )
        first, *others = [part for part in parts if part]
        say_parts([f"{name}: {first}", *others])
    say_parts(_counts(row))
    _errors(row, "")


def _errors(row: Row, before: str) -> None:
    """Why folders do not work; one that all share is said once."""
    if not row["folders"] and row["error"]:
        say(f"{before}{row['error']}", "red", indent=2)
    broken = [folder for folder in row["folders"] if folder["error"]]
    if len(broken) > 1 and len({folder["error"] for folder in broken}) == 1 and len(broken) == len(row["folders"]):
        say(f"{before}{broken[0]['error']}", "red", indent=2)
        return
    for folder in broken:
        name = f"{folder['folder']}: " if len(row["folders"]) > 1 else ""
        say(f"{before}{name}{folder['error']}", "red", indent=2)


def _problem(row: Row, zone: tzinfo) -> None:
    say(f"{row['severity']}: {row['where']}: {row['what']}", "red" if row["severity"] == "error" else "yellow")
    lasted = span(timedelta(seconds=row["seconds"]))
    say(f"for {lasted}, since {shown(row['since'], zone)}. {row['way_out']}", indent=2)
