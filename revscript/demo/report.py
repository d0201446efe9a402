"""The demo's end: a table of the mails, what the instance holds now, and what still needs a person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from revscript.demo.checks import MOST, Check, Mail
from revscript.demo.narrator import settled_words
from revscript.host import Host
from revscript.jail.reading.clean import many_lines, one_line
from revscript.store import views

COLUMNS = ("mail", "account", "from and subject", "exits", "effects", "on the server", "tries")


def mails_table(mails: Iterable[Mail], console: Console) -> None:
    """One row a mail."""
    grid = Table(box=SIMPLE_HEAD, header_style="bold", leading=1, padding=(0, 1, 0, 0), pad_edge=False)
    for name in COLUMNS:
        grid.add_column(name, overflow="fold")
    for mail in mails:
        grid.add_row(*(Text(many_lines(str(cell))) for cell in _row(mail)))
    console.print(grid)


def _row(mail: Mail) -> tuple[Any, ...]:
    exits = "\n".join(f"{task['method']} {task['exit'] or task['state']}" for task in mail["tasks"])
    effects = "\n".join(dict.fromkeys(one["effect"].replace("_", " ") for one in mail["applied"]))
    word, _, folder = str(mail["settled_by"] or "").partition(":")
    settled = settled_words(word, folder) if mail["settled"] else "untouched"
    tries = max(task["attempts"] for task in mail["tasks"])
    said = f"{mail['from'] or 'nobody'}\n{mail['subject'] or '(no subject)'}"
    return mail["id"], mail["account"], said, exits, effects, settled, tries


def counts(host: Host) -> Iterator[str]:
    """What the instance holds now, a line each."""
    database = host.stores.database
    forms = views.forms(database, MOST)
    yield f"{len(forms)} message forms of {sum(len(one['mails']) for one in forms)} mails"
    for one in views.missions(database, MOST):
        yield f"mission {one['number']}: {one['keyword']}, {one['address']}, {one['folder']} files in its folder"
    yield from map(_notice, views.notices(database, MOST))
    acts = views.acts_by_state(database)
    yield "outbox: " + (", ".join(f"{count} {state}" for state, count in sorted(acts.items())) or "empty")


def _notice(one: dict[str, Any]) -> str:
    lowered = ", lowered because its mail was late" if one["level"] != one["wished_level"] else ""
    renewed = f", renewed {one['updates']} time{'' if one['updates'] == 1 else 's'}" if one["updates"] else ""
    whom = f"{one['audience']} {one['name']}".rstrip()
    return f"notice ({one['level']}{lowered}{renewed}) to {whom}: {one['text']}"


def unfinished(host: Host, mails: Iterable[Mail]) -> Iterator[str]:
    """Everything that has not come to its end, and why."""
    for mail in mails:
        for task in mail["tasks"]:
            if task["state"] == "quarantined":
                tries = f"in quarantine after {task['attempts']} tries"
                yield f"mail {mail['id']}: {task['method']} {tries}: {task['reason']}"
            elif task["state"] != "done":
                yield f"mail {mail['id']}: {task['method']} is {task['state']}: {task['reason'] or 'not tried yet'}"
        if not mail["settled"] and mail["state"] == "done":
            yield f"mail {mail['id']}: done, but its server has not been told yet"
    for act in views.outbox(host.stores.database, MOST):
        if act["state"] != "sent":
            yield f"outbox no. {act['id']} to {', '.join(act['to'])}: {act['state']}: {act['error'] or 'not tried yet'}"
    for one in host.problems.standing():
        yield f"problem, {one.problem.where}: {one.problem.way_out}"


def tell_list(title: str, lines: Iterable[str], console: Console, style: str = "") -> None:
    """A heading and its lines; nothing when there are none."""
    found = list(lines)
    if found:
        console.print(Text(f"\n{title}", style="bold"))
    for line in found:
        console.print(Text(f"  {one_line(line)}", style=style), soft_wrap=True)


def tell_checks(checks: Sequence[Check], console: Console) -> None:
    """What was looked at, and what differs."""
    console.print(Text("\nChecked in the store and on the mail server", style="bold"))
    for one in checks:
        mark, style = ("✓", "green") if one.fine else ("✗", "bold red")
        seen = f": {one.seen}" if one.seen else ""
        console.print(Text(f"  {mark} {one_line(one.what + seen)}", style=style), soft_wrap=True)
