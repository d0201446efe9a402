"""Mails that retention finds: what was done with them, and who still needs them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Table, insert, select, text, update

from revscript.host import Stores
from revscript.jail.effects import LabelMail
from revscript.jail.reading.model import MailAddress, Reading
from revscript.model import Asked, Outcome, Trouble, sha256_hex
from revscript.snapshot import Script
from revscript.store.ledger import RunRecord
from revscript.store.record_tables import (
    centre_entry,
    folder_item,
    form_attachment,
    form_entry,
    form_source,
    mail_label,
    message_form,
    mission,
    mission_entry,
    notice,
)
from revscript.store.retention import Purged, Retention
from revscript.store.schema import act, applied_effect, blob, mail, reading, run, task
from tests.instance import due
from tests.store.kit import NOW, count, listed, receive, rows

KEEP = timedelta(days=90)
LATER = NOW + timedelta(days=91)
SECRET = "Meier"  # in everything that a mail brings

Refer = Callable[[Stores, int], None]


def raw(number: int) -> bytes:
    """Bytes that are only this mail's, in one row or in several."""
    head = f"Subject: {SECRET} {number}\r\n\r\n".encode()
    return head + random.Random(number).randbytes((7, 70_000, 1_200_000)[number % 3])


def script(name: str) -> Script:
    source = f"# {SECRET}: {name}\n"
    return Script(name, source, sha256_hex(source))


def make_mail(stores: Stores, box: int, number: int, runs: Script | None = None) -> int:
    """A mail that was read, run, done and settled."""
    (receipt,) = receive(stores, box, listed(number, size=len(raw(number))), raw=raw(number))
    sender = MailAddress(address=f"{SECRET}@post.example")
    stores.ledger.store_reading(receipt.mail_id, Reading(subject=SECRET, sender=sender, text=f"{SECRET} {number}"), NOW)
    work(stores, receipt.mail_id, runs or script("onEMail.py"))
    stores.intake.settled([receipt.mail_id], "seen", NOW)
    return receipt.mail_id


def work(stores: Stores, mail_id: int, runs: Script) -> None:
    (task_id,) = stores.ledger.due_tasks(mail_id, due(NOW))
    claimed = stores.ledger.claim(task_id, NOW)
    assert claimed
    asked = (Asked({"question": "find_form", "key": SECRET}, None),)
    trouble = Trouble("ValueError", SECRET)
    outcome = Outcome(
        by=f"script:{runs.name}", effects=(LabelMail(text=SECRET),), asked=asked, log=(SECRET,), trouble=trouble
    )
    with stores.database.write() as tx:
        run_id = stores.ledger.record_run(tx, RunRecord(claimed, outcome, "0" * 64, NOW, 0, runs))
        words = {"key": f"{mail_id}/0", "by": outcome.by, "at": NOW, "effect": "label", "words": SECRET, "target": ""}
        tx.execute(insert(applied_effect), words | {"mail_id": mail_id, "run_id": run_id})
        tx.execute(insert(mail_label), {"mail_id": mail_id, "text": SECRET, "by": outcome.by, "at": NOW})
        stores.ledger.finish(tx, claimed, "done", NOW)


def purge(stores: Stores, **more: Any) -> Purged:
    retention = Retention(
        stores.database, stores.blobs, **{"clock_confirmed": bool_true, "stopping": bool_false} | more
    )
    return retention.purge(LATER, KEEP)


def bool_true() -> bool:
    return True


def bool_false() -> bool:
    return False


def add(stores: Stores, table: Table, **values: Any) -> int:
    with stores.database.write() as tx:
        return tx.execute(insert(table).values(**values).returning(next(iter(table.c)))).scalar_one()


def keep_blob(stores: Stores, data: bytes) -> int:
    with stores.database.write() as tx:
        return stores.blobs.keep(tx, stores.blobs.stage([data]), NOW)


# ---------------------------------------------------------------- who needs a mail


def a_form(stores: Stores) -> int:
    number = count(stores, message_form) + 1
    words = ("direction", "state", "priority", "subject", "text", "sender_unit", "sender_address", "addressee")
    more = dict.fromkeys((*words, "medium_actual", "received_by"), "x")
    times = {"received_at": NOW, "created_at": NOW}
    return add(stores, message_form, register_mission_id=0, register_no=number, **more, **times)


def a_mission(stores: Stores) -> int:
    more: dict[str, Any] = {"kind": "real", "state": "running", "lead": False, "units": [], "opened_at": NOW}
    return add(stores, mission, number=f"2026-{count(stores, mission)}", **more)


def a_name(name: str) -> dict[str, Any]:
    return {"name": name, "original_name": name, "type": "text/plain", "tags": [], "why": "", "by": "x"}


def form_files_it(stores: Stores, mail_id: int) -> None:
    add(stores, form_source, mail_id=mail_id, form_id=a_form(stores))


def form_has_its_attachment(stores: Stores, mail_id: int) -> None:
    kept = keep_blob(stores, f"attachment of {mail_id}".encode())
    add(stores, form_attachment, form_id=a_form(stores), blob_id=kept, name="a", type="text/plain", mail_id=mail_id)


def form_tells_of_it(stores: Stores, mail_id: int) -> None:
    add(stores, form_entry, form_id=a_form(stores), kind="linked", text="x", by="x", at=NOW, mail_id=mail_id)


def folder_holds_of_it(stores: Stores, mail_id: int) -> None:
    kept = keep_blob(stores, f"file of {mail_id}".encode())
    names: dict[str, Any] = {
        "name": f"f{mail_id}",
        "original_name": "f",
        "type": "text/plain",
        "tags": [],
        "why": "",
        "by": "x",
    }
    add(stores, folder_item, mission_id=a_mission(stores), blob_id=kept, at=NOW, mail_id=mail_id, **names)


def mission_tells_of_it(stores: Stores, mail_id: int) -> None:
    add(stores, mission_entry, mission_id=a_mission(stores), kind="changed", text="x", by="x", at=NOW, mail_id=mail_id)


def centre_shows_it(stores: Stores, mail_id: int) -> None:
    add(stores, centre_entry, mail_id=mail_id, state="open", at=NOW)


def it_is_in_quarantine(stores: Stores, mail_id: int) -> None:
    set_values(stores, task, task.c.mail_id == mail_id, state="quarantined")


def it_waits_again(stores: Stores, mail_id: int) -> None:
    set_values(stores, task, task.c.mail_id == mail_id, state="waiting")


def it_was_done_only_now(stores: Stores, mail_id: int) -> None:
    set_values(stores, task, task.c.mail_id == mail_id, finished_at=LATER - timedelta(days=1))


def it_was_settled_only_now(stores: Stores, mail_id: int) -> None:
    set_values(stores, mail, mail.c.id == mail_id, settled_at=LATER - timedelta(days=1))


def it_is_not_settled(stores: Stores, mail_id: int) -> None:
    set_values(stores, mail, mail.c.id == mail_id, settle="waiting")


def it_is_young(stores: Stores, mail_id: int) -> None:
    set_values(stores, mail, mail.c.id == mail_id, received_at=LATER - timedelta(days=89))


def something_is_to_be_sent(stores: Stores, mail_id: int) -> None:
    an_act(stores, mail_id, "pending")


def an_act(stores: Stores, mail_id: int | None, state: str, data: bytes | None = None) -> int:
    attachments = [{"name": "a", "type": "text/plain", "blob_id": keep_blob(stores, data)}] if data else []
    payload = {"to": [f"{SECRET}@post.example"], "text": SECRET, "attachments": attachments}
    return add(
        stores,
        act,
        key=f"act {count(stores, act)}",
        kind="mail",
        lane="smtp:post",
        level="info",
        state=state,
        payload=payload,
        next_at=NOW,
        not_after=NOW,
        created_at=NOW,
        finished_at=None if state == "pending" else NOW,
        receipt={SECRET: "250 ok"},
        error=SECRET if state == "dead" else "",
        mail_id=mail_id,
    )


def a_notice(stores: Stores, mail_id: int, key: str = "k") -> int:
    words = {"audience": "all", "name": "", "text": f"{SECRET}, Hauptstr. 5", "level": "info", "wished_level": "info"}
    return add(stores, notice, key=key, updates=0, mail_id=mail_id, as_of=NOW, at=NOW, **words)


def set_values(stores: Stores, table: Table, where: Any, **values: Any) -> None:
    with stores.database.write() as tx:
        tx.execute(update(table).where(where).values(**values))


REFERRERS: Sequence[Refer] = (
    form_files_it,
    form_has_its_attachment,
    form_tells_of_it,
    folder_holds_of_it,
    mission_tells_of_it,
    centre_shows_it,
    it_is_in_quarantine,
    it_waits_again,
    it_was_done_only_now,
    it_was_settled_only_now,
    it_is_not_settled,
    it_is_young,
    something_is_to_be_sent,
)


# ---------------------------------------------------------------- how it looks afterwards


def raw_of(stores: Stores, mail_id: int) -> bytes:
    return stores.blobs.content(rows(stores, mail, id=mail_id)[0].blob_id)


def is_whole(stores: Stores, mail_id: int, number: int) -> bool:
    """Nothing of the mail was touched."""
    (row,) = rows(stores, mail, id=mail_id)
    (ran,) = rows(stores, run, task_id=rows(stores, task, mail_id=mail_id)[0].id)
    read = stores.ledger.reading(mail_id)
    return (
        row.purged_at is None
        and raw_of(stores, mail_id) == raw(number)
        and read.text == f"{SECRET} {number}"
        and ran.log == [SECRET]
        and len(ran.effects) == len(ran.asked) == 1
        and len(rows(stores, mail_label, mail_id=mail_id)) == 1
        and rows(stores, applied_effect, mail_id=mail_id)[0].words == SECRET
    )


def is_tombstone(stores: Stores, mail_id: int, number: int) -> bool:
    """Only the mail's identity and times are left."""
    (row,) = rows(stores, mail, id=mail_id)
    (ran,) = rows(stores, run, task_id=rows(stores, task, mail_id=mail_id)[0].id)
    return (
        row.purged_at == LATER
        and raw_of(stores, mail_id) == b""
        and (row.sha256, row.size) == (sha256_hex(raw(number)), len(raw(number)))
        and (row.server_key, row.received_at, row.state) == (str(number), NOW, "done")
        and not rows(stores, reading, mail_id=mail_id)
        and not rows(stores, mail_label, mail_id=mail_id)
        and (ran.asked, ran.effects, ran.log, ran.trouble) == ([], [], [], None)
        and (ran.exit, ran.now, ran.by) == ("done", NOW, "script:onEMail.py")
        and rows(stores, applied_effect, mail_id=mail_id)[0].words == ""
    )


def is_consistent(stores: Stores) -> bool:
    """Every reference leads somewhere, and every blob that has a head is whole."""
    with stores.database.read() as tx:
        broken = tx.execute(text("PRAGMA foreign_key_check")).all()
        heads = tx.execute(select(blob.c.id, blob.c.size)).all()
    return not broken and all(len(stores.blobs.content(one.id)) == one.size for one in heads)
