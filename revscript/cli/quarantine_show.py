"""How tasks in quarantine are shown: a line of a list, or one whole.

SECURITY: reasons, logs and subjects were written by outsiders and scripts; `output` takes control characters out.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from revscript.cli.options import zone_of
from revscript.cli.output import emit, say, shown
from revscript.cli.versions import Versions
from revscript.config import Secrets
from revscript.host import Stores
from revscript.model import library_of, wall_clock
from revscript.snapshot import Instance, Script, read_files
from revscript.store import views
from revscript.store.quarantine import Held, Quarantine

Row = dict[str, Any]


class Glance:
    """Tasks as lines; which are late depends on their accounts' `max_age` and on the present time."""

    def __init__(self, instance: Instance, now: datetime | None = None) -> None:
        self._accounts = read_files(instance, Secrets(instance.secrets)).accounts
        self._now = now or wall_clock()

    def row(self, one: Held) -> Row:
        """A task as a line of the list."""
        return {
            "mail": one.mail_id,
            "account": one.account,
            "method": one.method,
            "script": one.script,
            "since": one.finished_at,
            "attempts": one.attempts,
            "reason": one.reason,
            "line": one.trouble.line if one.trouble else None,
            "late": self._late(one),
            "from": one.sender,
            "subject": one.subject,
        }

    def _late(self, one: Held) -> bool | None:
        account = self._accounts.get(one.account)
        return None if account is None else self._now - one.date > timedelta(minutes=account.max_age)


def show_task(one: Held, instance: Instance, stores: Stores, *, as_json: bool) -> None:
    """Print one task with its last run, where its mail is, and the ways out."""
    recorded = stores.ledger.script(one.script_sha256) if one.script_sha256 else None
    frames = [
        {"line": line, "function": function, "text": _line(recorded, line, function)}
        for line, function in (one.trouble.frames if one.trouble else ())
    ]
    row = Glance(instance).row(one) | {
        "date": one.date,
        "received": one.received_at,
        "script_sha256": one.script_sha256,
        "changed": Versions(instance).has_changed(recorded) if recorded else None,
        "frames": frames,
        "log": Quarantine(stores.database).last_log(one),
        "entries": views.entries(stores.database, one.id),
        "raw": _raw(stores, one.mail_id),
        "ways_out": _ways_out(one, changed=recorded is not None and Versions(instance).has_changed(recorded)),
    }
    if as_json:
        emit(row)
    else:
        _tell(row, instance)


def _line(recorded: Script | None, number: int, function: str) -> str | None:
    """A line of the recorded script, or of the library to which the function belongs."""
    if recorded is None:
        return None
    file = library_of(function)
    libraries = {name.removesuffix(".py"): text for name, text in recorded.libraries.items()}
    text = libraries.get(file.removesuffix(".py"), "") if file else recorded.text
    lines = text.splitlines()
    return lines[number - 1].strip() if 0 < number <= len(lines) else None


def _raw(stores: Stores, mail_id: int) -> Row:
    found = views.whereabouts(stores.database, mail_id)
    return {
        "server": "{protocol}://{user}@{host}/{folder}".format_map(found),
        "key": found["key"],
        "settled_by": found["settled_by"],
        "size": found["size"],
        "purged_at": found["purged_at"],
    }


def _ways_out(one: Held, *, changed: bool) -> list[str]:
    mail, task = one.mail_id, f" --task {one.method}" if one.method != "script" else ""
    ways = [f'revscript quarantine discard {mail}{task} --why "…": give it up; its mail is settled']
    if one.method != "script":
        return [f"revscript quarantine rerun {mail}{task}: run it again", *ways]
    name = one.script or "onEMail.py"
    ways.insert(0, f"revscript quarantine rerun {mail} --same-script: again with the version that failed")
    ways.insert(0, f"revscript quarantine rerun {mail} --new-script: again with the script as it is now")
    if one.script_sha256 is None:  # it was not there
        put = f"put {name} into user_scripts, or name another one in methods.script.file of accounts/{one.account}.json"
        return [put, f"revscript quarantine rerun {mail} --new-script: then run it again", ways[-1]]
    if not changed:
        script = f"user_scripts/{name}"
        found = f"revscript quarantine show {mail} --eml mail.eml, then revscript try {script} mail.eml: see it fail"
        mend = f"mend user_scripts/{name}: while the mail is young, it runs again by itself when the file is saved"
        ways = [found, mend, *ways]
    return ways


def _tell(row: Row, instance: Instance) -> None:
    zone = zone_of(instance)
    say(f"mail {row['mail']}, {row['method']}: in quarantine since {shown(row['since'], zone)}", "bold red")
    say(f"reason:    {row['reason']}", indent=2)
    for frame in row["frames"]:
        say(f"line {frame['line']}, in {frame['function']}: {frame['text'] or '?'}", indent=4)
    if row["script"]:
        version = f", version {row['script_sha256'][:12]}" if row["script_sha256"] else ""
        say(f"script:    {row['script']}{version}{_changed(row)}", indent=2)
    say(f"attempts:  {row['attempts']}", indent=2)
    for line in row["log"]:
        say(f"log: {line}", indent=4)
    late = {True: ", late: alarms are downgraded", False: ", not late", None: ""}[row["late"]]
    say(f"mail:      {shown(row['subject'], zone)}, from {shown(row['from'], zone)}", indent=2)
    say(f"           of {shown(row['date'], zone)}, received {shown(row['received'], zone)}{late}", indent=2)
    say(f"account:   {row['account']}", indent=2)
    say(f"raw mail:  {_where(row['raw'])}", indent=2)
    for entry in row["entries"]:
        why = f": {entry['why']}" if entry["why"] else ""
        say(f"{shown(entry['at'], zone)}  {entry['kind'].replace('_', ' ')} by {entry['by']}{why}", indent=2)
    say("what to do", "bold")
    for way in row["ways_out"]:
        say(way, indent=2)


def _changed(row: Row) -> str:
    if row["changed"] is None:
        return ""
    return "; the file is another one by now" if row["changed"] else "; the file is still the same"


def _where(raw: Row) -> str:
    if raw["settled_by"]:
        server = f"on its server it was settled ({raw['settled_by']})"
    else:
        server = f"untouched on its server: {raw['server']}, no. {raw['key']}"
    return f"{server}; here {raw['size']} bytes, written to a file by --eml FILE"
