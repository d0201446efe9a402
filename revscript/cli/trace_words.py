"""The events of a mail's story in words: a sentence, and what belongs below it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo
from typing import Any, cast

from revscript.cli.output import shown
from revscript.cli.words import asked_words, effect_words
from revscript.model import FAILED_EXITS
from revscript.store.views import trouble_of

Event = dict[str, Any]
Told = tuple[str, list[str]]

_SETTLED = {"seen": "marked as read", "delete": "deleted", "none": "left as it is"}
_KINDS = {"rerun": "run again", "healed": "run again by itself", "discarded": "discarded"}


def _settled(by: str) -> str:
    word, _, what = by.partition(":")
    if word == "move":
        return f'moved to "{what}"'
    return f'marked with "{what}"' if word == "keyword" else _SETTLED.get(word, by)


class Telling:
    """Tells events; times in a time zone."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._how: dict[str, Callable[[Event], Told]] = {
            "received": self._received,
            "read": self._read,
            "canary": self._canary,
            "tried": self._tried,
            "committed": self._committed,
            "queued": self._queued,
            "delayed": self._delayed,
            "sent": self._sent,
            "dead": self._dead,
            "waiting": self._waiting,
        }

    def tell(self, event: Event) -> Told:
        """A sentence, and lines with more."""
        how = self._how.get(event["event"])
        return how(event) if how else (self._short(event), [])

    def _short(self, event: Event) -> str:
        match event["event"]:
            case "settled":
                return f"settled: {_settled(event['by'])} on its server"
            case "purged":
                return "removed: raw mail and reading, because their time was over (retention)"
            case "quarantined":
                return f"{event['method']}: in quarantine; {event['reason']}"
            case "done":
                return f"{event['method']}: {event['exit']}, nothing was run"
            case "stepped_aside":
                return f"{event['method']}: stepped aside, so that other mails go first ({event['why']})"
            case kind:
                why = f": {event['why']}" if event["why"] else ""
                return f"{event['method']}: {_KINDS.get(kind, kind)} by {event['by']}{why}"

    # ------------------------------------------------------------ on its way in

    def _received(self, event: Event) -> Told:
        server = "{protocol}://{user}@{host}/{folder}".format_map(event)
        lines = [f"from {server}, no. {event['key']}", f"SHA-256 {event['sha256']}"]
        if event["cut"]:
            lines.append("only its head was fetched: it is larger than the hard cap")
        if event["duplicate_of"]:
            lines.append(f"the same bytes as mail {event['duplicate_of']}")
        return f"received by {event['account']}, {event['size']} bytes", lines

    def _read(self, event: Event) -> Told:
        how = "could not be read: only header lines are known" if event["fallback"] else "read"
        lines = [f"subject {event['subject']!r}", f"from {event['sender'] or 'nobody'}"]
        lines.append(f"dated {shown(event['date'], self._zone)}, Message-ID {event['message_id'] or '-'}")
        if event["defects"] is None:
            lines.append("its reading is not there any more")
        lines += [f"defect: {defect}" for defect in event["defects"] or ()]
        return f"{how} (reader {event['version']})", lines

    def _canary(self, event: Event) -> Told:
        sent = shown(event["sent_at"], self._zone)
        return f"recognised as the canary that {event['account']} sent to itself at {sent}", []

    # ------------------------------------------------------------ tries

    def _tried(self, event: Event) -> Told:
        version = f" ({event['script_sha256'][:8]})" if event["script_sha256"] else ""
        conflicts = f", ran anew {event['conflicts']} times as an answer had changed" if event["conflicts"] else ""
        text = f"{event['method']}: try {event['attempt']} by {event['by']}{version}: {event['exit']}"
        lines = [f"asked: {asked_words(asked)}" for asked in event["asked"]]
        if not event["committed"]:  # else the commit tells of them
            mark = "not done" if event["exit"] in FAILED_EXITS else "done before"
            lines += [f"{mark}: {effect_words(effect)}" for effect in event["effects"]]
        lines += [f"log: {line}" for line in event["log"]]
        if event["trouble"]:
            lines.append(str(trouble_of(event["trouble"])))
        return f"{text}, {event['cpu_ms']} ms of CPU{conflicts}", lines

    def _committed(self, event: Event) -> Told:
        lines = [f"{one['words']} → {one['target'].replace(':', ' ')}" for one in event["applied"]]
        return f"{event['method']}: committed", lines

    def _waiting(self, event: Event) -> Told:
        if event["state"] == "running":
            return f"{event['method']}: is being tried now", []
        when = f"waits until {shown(event['next'], self._zone)}" if event["next"] else "waits for its turn"
        return f"{event['method']}: {when}", []

    # ------------------------------------------------------------ on its way out

    def _queued(self, event: Event) -> Told:
        to = ", ".join(event["to"]) or "nobody"
        return f"{_act(event)}: queued for {event['lane']}", [f"to {to}: {event['subject']!r}"]

    def _delayed(self, event: Event) -> Told:
        again = shown(event["next"], self._zone) if event["next"] else "at once"
        return f"{_act(event)}: not delivered yet, {_tries(event)}; next try {again}", [event["error"]]

    def _sent(self, event: Event) -> Told:
        said = [(word, *one) for word in ("accepted", "refused") for one in _said(event["receipt"], word)]
        return f"{_act(event)}: sent, {_tries(event)}", [f"{word} {who}: {answer}" for word, who, answer in said]

    def _dead(self, event: Event) -> Told:
        text, lines = self._sent(event)
        return text.replace(": sent,", ": given up,"), [event["error"], *lines]


def _act(event: Event) -> str:
    return f"outbox no. {event['act']} ({event['kind']})"


def _tries(event: Event) -> str:
    return "1 try" if event["tries"] == 1 else f"{event['tries']} tries"


def _said(receipt: Event | None, word: str) -> list[tuple[str, Any]]:
    said: Any = (receipt or {}).get(word)
    return list(cast("dict[str, Any]", said).items()) if isinstance(said, dict) else []
