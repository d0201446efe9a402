"""`revscript show mails ID`: one mail whole."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from revscript.cli.options import stores_of, zone_of
from revscript.cli.output import emit, say, shown
from revscript.cli.words import effect_words
from revscript.errors import RevscriptError
from revscript.model import FAILED_EXITS
from revscript.snapshot import Instance
from revscript.store import views

_LISTS = ("tasks", "applied")


def show_mail(instance: Instance, mail_id: int, *, as_json: bool) -> None:
    """Print a mail's facts, its tasks with all their runs, and what was done; RevscriptError when there is none."""
    with stores_of(instance, read_only=True) as stores:
        mail = views.one_mail(stores.database, mail_id)
    if mail is None:
        raise RevscriptError(f"There is no mail {mail_id}.")
    for task in mail["tasks"]:
        for run in task["runs"]:
            _say_in_words(run)
    if as_json:
        emit(mail)
    else:
        _tell(mail, zone_of(instance))


def _say_in_words(run: dict[str, Any]) -> None:
    """Turn the recorded effects into words, and the trouble into the shape that `try` has."""
    run["effects"] = [effect_words(effect) for effect in run["effects"]]
    trouble = run.pop("trouble")
    run["error"] = None
    if trouble:
        frames = [{"line": line, "function": function} for line, function in trouble["frames"]]
        line = views.trouble_of(trouble).line
        run["error"] = {"type": trouble["type"], "text": trouble["text"], "line": line, "frames": frames}


def _tell(mail: dict[str, Any], zone: ZoneInfo) -> None:
    say(f"mail {mail['id']}", "bold")
    for name, value in mail.items():
        if name not in ("id", *_LISTS):
            say(f"{name.replace('_', ' ') + ':':<23}{shown(value, zone)}", indent=2)
    for task in mail["tasks"]:
        _tell_task(task, zone)
    if mail["applied"]:
        say("carried out", "bold")
    for one in mail["applied"]:
        say(f"{one['words']}  ({one['target']}, {one['by']}, {shown(one['at'], zone)})", indent=2)


def _tell_task(task: dict[str, Any], zone: ZoneInfo) -> None:
    bad = task["state"] == "quarantined"
    tries = f", try {task['attempts']}" if task["attempts"] > 1 else ""
    later = f", again at {shown(task['next'], zone)}" if task["next"] and task["attempts"] else ""
    say(f"{task['method']}: {task['state']}{tries}{later}", "bold red" if bad else "bold")
    if task["reason"]:
        say(task["reason"], indent=2)
    for run in task["runs"]:
        _tell_run(run, zone)


def _tell_run(run: dict[str, Any], zone: ZoneInfo) -> None:
    say(f"{shown(run['now'], zone)}  {run['by']}  {run['exit']}  ({run['cpu_ms']} ms)", indent=2)
    for words in run["effects"]:
        say(f"not done: {words}" if run["exit"] in FAILED_EXITS else f"→ {words}", indent=4)
    for line in run["log"]:
        say(f"log: {line}", indent=4)
    if error := run["error"]:
        where = f" (line {error['line']})" if error["line"] else ""
        say(f"{error['type']}: {error['text']}{where}", "red", indent=4)
