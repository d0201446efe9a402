"""`revscript trace MAIL`: a mail's whole story in words, in the order of time.

SECURITY: subjects, script logs and servers' answers were written by outsiders; `output` takes control characters out.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from revscript.cli.options import LARGEST, InstanceOption, JsonOption, instance_at, stores_of, zone_of
from revscript.cli.output import emit, say, shown
from revscript.cli.trace_words import Telling
from revscript.errors import RevscriptError
from revscript.store.trace import story


def trace(
    mail_id: Annotated[
        int, typer.Argument(metavar="MAIL", min=1, max=LARGEST, help="The mail's id, as in `revscript show mails`.")
    ],
    instance: InstanceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell a mail's whole story: from its reception to what became of all that it caused.

    JSON: one object an event, see docs/json.md.
    """
    where = instance_at(instance)
    with stores_of(where, read_only=True) as stores:
        events = story(stores.ledger, mail_id)
    if not events:
        raise RevscriptError(f"There is no mail {mail_id}.", hint="See `revscript show mails`.")
    zone = zone_of(where)
    telling = Telling(zone)
    for event in events:
        text, lines = telling.tell(event)
        if as_json:
            emit(_row(event, text, lines))
            continue
        say(f"{shown(event['at'], zone)}  {text}", "bold red" if event["event"] in ("quarantined", "dead") else "")
        for line in lines:
            say(line, indent=21)


def _row(event: dict[str, Any], text: str, lines: list[str]) -> dict[str, Any]:
    row = {name: event.get(name) for name in ("at", "event", "method", "task", "run", "act")}
    row |= {"text": text, "lines": lines}
    known = {*row, "asked", "effects", "log", "trouble", "applied", "receipt"}
    return row | {"facts": {name: value for name, value in event.items() if name not in known}}
