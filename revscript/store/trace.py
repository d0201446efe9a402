"""A mail's whole story, from the database alone: everything that is known to have happened, in the order of time.

An event is a dictionary with `at`, `event` and what belongs to it; keys that do not apply are missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, select

from revscript.model import AT_ONCE, METHODS
from revscript.store.blobs import BlobMissing
from revscript.store.ledger import AFTER_FRESH, Ledger
from revscript.store.schema import (
    act,
    applied_effect,
    canary,
    mail,
    mailbox,
    reading,
    run,
    script_text,
    task,
    task_entry,
)

Event = dict[str, Any]

# Events of the same instant in the order in which they happen.
ORDER = (
    "received",
    "read",
    "canary",
    "tried",
    "committed",
    "done",
    "quarantined",
    "discarded",
    "queued",
    "sent",
    "dead",
    "delayed",
    "settled",
    "rerun",
    "healed",
    "stepped_aside",
    "purged",
    "waiting",
)


def story(ledger: Ledger, mail_id: int) -> list[Event]:
    """All events of a mail, oldest first; empty when there is no such mail."""
    with ledger.database.read() as tx:
        found = [*_mail(tx, mail_id), *_canary(tx, mail_id), *_tasks(tx, mail_id), *_acts(tx, mail_id)]
    for event in found:
        if event["event"] == "read":
            event["defects"] = _defects(ledger, mail_id)
        elif event["event"] == "waiting":  # that is so now: after all that has happened
            event["at"] = max(one["at"] for one in found)
    return sorted(found, key=lambda event: (event["at"], ORDER.index(event["event"])))


def _defects(ledger: Ledger, mail_id: int) -> list[str] | None:
    """What was wrong with the mail; None when its Reading is not there any more."""
    try:
        return list(ledger.reading(mail_id).defects)
    except BlobMissing:
        return None


def _mail(tx: Connection, mail_id: int) -> Iterator[Event]:
    columns = (
        mailbox.c.protocol,
        mailbox.c.host,
        mailbox.c.user,
        mailbox.c.folder,
        mail.c.account,
        mail.c.server_key.label("key"),
        mail.c.size,
        mail.c.sha256,
        mail.c.cut,
        mail.c.possible_duplicate_of.label("duplicate_of"),
        mail.c.received_at,
        mail.c.settle,
        mail.c.settled_at,
        mail.c.settled_by,
        mail.c.purged_at,
    )
    query = select(*columns).join(mailbox, mailbox.c.id == mail.c.mailbox_id).where(mail.c.id == mail_id)
    row = tx.execute(query).mappings().one_or_none()
    if row is None:
        return
    names = ("account", "protocol", "host", "user", "folder", "key", "size", "sha256", "cut", "duplicate_of")
    yield {"at": row["received_at"], "event": "received"} | {name: row[name] for name in names}
    yield from _reading(tx, mail_id)
    if row["settled_at"] is not None and row["settle"] == "settled":
        yield {"at": row["settled_at"], "event": "settled", "by": row["settled_by"]}
    if row["purged_at"] is not None:
        yield {"at": row["purged_at"], "event": "purged"}


def _reading(tx: Connection, mail_id: int) -> Iterator[Event]:
    columns = (reading.c.version, reading.c.fallback, reading.c.subject, reading.c.sender, reading.c.date)
    query = select(*columns, reading.c.message_id, reading.c.created_at).where(reading.c.mail_id == mail_id)
    for row in tx.execute(query).mappings():
        event = dict(row)
        yield {"at": event.pop("created_at"), "event": "read"} | event


def _canary(tx: Connection, mail_id: int) -> Iterator[Event]:
    query = select(canary.c.account, canary.c.sent_at, canary.c.seen_at).where(canary.c.mail_id == mail_id)
    for row in tx.execute(query):
        if row.seen_at is not None:
            yield {"at": row.seen_at, "event": "canary", "account": row.account, "sent_at": row.sent_at}


# ---------------------------------------------------------------- tasks


def _tasks(tx: Connection, mail_id: int) -> Iterator[Event]:
    query = select(task).where(task.c.mail_id == mail_id).order_by(task.c.id)
    for row in sorted(tx.execute(query).mappings().all(), key=lambda row: METHODS.index(row["method"])):
        about = {"task": row["id"], "method": row["method"]}
        runs = list(_runs(tx, row["id"]))
        entries = list(_entries(tx, row["id"]))
        for event in (*runs, *entries):
            yield event | about
        if row["state"] == "quarantined":
            yield {"at": row["finished_at"], "event": "quarantined", "reason": row["reason"]} | about
        elif row["state"] == "done" and not runs:  # a canary: nothing was run
            yield {"at": row["finished_at"], "event": "done", "exit": row["exit"]} | about
        elif row["state"] in ("waiting", "running"):
            later = row["not_before"] if row["not_before"] > AFTER_FRESH else None
            yield {"at": AT_ONCE, "event": "waiting", "state": row["state"], "next": later} | about


def _runs(tx: Connection, task_id: int) -> Iterator[Event]:
    columns = (
        run.c.id,
        run.c.attempt,
        run.c.by,
        run.c.now,
        run.c.exit,
        run.c.asked,
        run.c.effects,
        run.c.log,
        run.c.trouble,
        run.c.cpu_ms,
        run.c.conflicts,
        run.c.script_sha256,
        script_text.c.name.label("script"),
    )
    query = select(*columns).outerjoin(script_text, script_text.c.sha256 == run.c.script_sha256)
    for row in tx.execute(query.where(run.c.task_id == task_id).order_by(run.c.id)).mappings():
        event = dict(row)
        run_id, at = event.pop("id"), event.pop("now")
        applied = _applied(tx, run_id)
        yield {"at": at, "event": "tried", "run": run_id, "committed": bool(applied)} | event
        if applied:
            yield {"at": at, "event": "committed", "run": run_id, "applied": applied}


def _applied(tx: Connection, run_id: int) -> list[dict[str, str]]:
    query = select(applied_effect.c.words, applied_effect.c.target).where(applied_effect.c.run_id == run_id)
    return [dict(row) for row in tx.execute(query.order_by(applied_effect.c.id)).mappings()]


def _entries(tx: Connection, task_id: int) -> Iterator[Event]:
    columns = (task_entry.c.kind, task_entry.c.by, task_entry.c.at, task_entry.c.why)
    for row in tx.execute(select(*columns).where(task_entry.c.task_id == task_id).order_by(task_entry.c.id)):
        yield {"at": row.at, "event": row.kind, "by": row.by, "why": row.why}


# ---------------------------------------------------------------- acts


def _acts(tx: Connection, mail_id: int) -> Iterator[Event]:
    for row in tx.execute(select(act).where(act.c.mail_id == mail_id).order_by(act.c.id)).mappings():
        payload = row["payload"]
        to = [*payload.get("to", ()), *payload.get("cc", ())]
        about = {"act": row["id"], "kind": row["kind"], "lane": row["lane"], "tries": row["tries"]}
        what = {"to": to, "subject": payload.get("subject", ""), "level": row["level"]}
        yield {"at": row["created_at"], "event": "queued"} | about | what
        state = row["state"]
        if state == "pending":
            if row["error"]:
                more = {"error": row["error"], "next": row["next_at"] if row["next_at"] > AT_ONCE else None}
                yield {"at": row["created_at"], "event": "delayed"} | about | more
        elif row["finished_at"] is not None:
            more = {"receipt": row["receipt"]} | ({"error": row["error"]} if state == "dead" else {})
            yield {"at": row["finished_at"], "event": state} | about | more
