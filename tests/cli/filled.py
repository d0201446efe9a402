"""An instance with something of everything, filled as the host fills it, without a mail server."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from revscript.health import Problems
from revscript.host import Stores, open_stores
from revscript.jail import effects
from revscript.jail.reading.model import Attachment, MailAddress, Reading
from revscript.model import Method, Outcome, Problem, ServerMail, Trouble, sha256_hex
from revscript.records.context import MailFacts
from revscript.snapshot import Instance, Snapshot, load_snapshot
from revscript.store.intake import Incoming
from revscript.store.ledger import RunRecord
from tests.instance import due, make_instance

NOW = datetime(2026, 3, 1, 11, 0, 5, tzinfo=UTC)
METHODS: tuple[Method, ...] = ("script", "document")
FAX = b"%PDF-1.4\n"

ACCOUNT: dict[str, Any] = {
    "label": "Leitstelle",
    "address": "einsatz@fuest.example",
    "authentication": {"method": "password", "username": "einsatz", "password": "secret:post"},
    "receiving": {"protocol": "imap", "host": "imap.fuest.example"},
    "sending": {"protocol": "smtp", "host": "smtp.fuest.example"},
    "methods": {"script": True, "document": True},
}
SCRIPT = "def onEMail(mail):\n    log(len(missions.running()), mail.account, mail.late)\n"

ALARM = Reading(
    subject="B 3 Beispielweg 7",
    sender=MailAddress(address="alarm@leitstelle.example", name="Leitstelle"),
    date="2026-03-01T12:00:00+01:00",
    message_id="1@leitstelle.example",
    text="Einsatznummer: 2026-0815",
    attachments=(
        Attachment(
            name="fax.pdf",
            original_name="fax.pdf",
            type="application/pdf",
            declared_type="application/pdf",
            size=len(FAX),
            sha256=sha256_hex(FAX),
            inline=False,
        ),
    ),
)

ALARM_EFFECTS: tuple[effects.Effect, ...] = (
    effects.UpsertMission(number="2026-0815", fields=effects.MissionFields(keyword="B 3", address="Beispielweg 7")),
    effects.FileForm(priority="flash", mission="effect:0", attachments=(0,)),
    effects.AddToFolder(mission="effect:0", attachments=(0,)),
    effects.Notify(audience="role", name="S3", text="B 3 [bold]Beispielweg[/bold]", level="alarm", about="effect:0"),
    effects.SendMail(to=("wehr@fuest.example",), cc=("stab@fuest.example",), subject="Alarm", text="B 3"),
    effects.LabelMail(text="Alarm"),
)


def filled(root: Path) -> Instance:
    """Mail 1 is done and settled, mail 2 is in quarantine, mail 3 has not been read; one open problem."""
    instance = make_instance(root, {"post": ACCOUNT}, {"onEMail.py": SCRIPT})
    secret = root / "secrets" / "post"
    secret.parent.mkdir()
    secret.write_text("correct-horse")
    secret.chmod(0o600)
    snapshot, stores = load_snapshot(instance), open_stores(instance)
    assert snapshot.findings == ()
    _receive(stores)
    _alarm(stores, snapshot)
    _failure(stores, snapshot)
    Problems(stores.database, lambda: NOW).report(Problem("jail", "jail", "It does not start.", "See the log."))
    stores.database.close()
    return instance


def _receive(stores: Stores) -> None:
    box = stores.intake.mailbox_id("imap", "imap.fuest.example", "einsatz", "INBOX")
    stores.intake.begin_epoch(box, "7", 4)
    raws = [f"Subject: {number}\n\nText".encode() for number in (1, 2, 3)]
    batch = [
        Incoming(ServerMail("7", str(uid), len(raw)), stores.blobs.stage([raw])) for uid, raw in enumerate(raws, 1)
    ]
    stores.intake.receive(box, "post", batch, METHODS, "0" * 64, NOW)
    stores.intake.proved(box, NOW, NOW + timedelta(minutes=1))


def _alarm(stores: Stores, snapshot: Snapshot) -> None:
    stores.ledger.store_reading(1, ALARM, NOW)
    wishes = [
        Outcome(by="script:onEMail.py", effects=ALARM_EFFECTS, log=("hallo",), cpu_ms=12),
        Outcome(by="method:document", effects=(effects.FileForm(attachments=(0,)),)),
    ]
    staged = {0: stores.blobs.stage([FAX])}
    facts = MailFacts(1, snapshot.accounts["post"], ALARM, NOW, late=True)
    for task_id, outcome in zip(stores.ledger.due_tasks(1, due(NOW)), wishes, strict=True):
        task = stores.ledger.claim(task_id, NOW)
        assert task
        script = snapshot.scripts["onEMail.py"] if task.method == "script" else None
        record = RunRecord(task, outcome, "0" * 64, NOW, 0, script)
        stores.commit.apply(outcome, now=NOW, snapshot=snapshot, mail=facts, staged=staged, record=record)
    stores.intake.settled([1], "seen", NOW)


def _failure(stores: Stores, snapshot: Snapshot) -> None:
    stores.ledger.store_reading(2, replace(ALARM, subject="Störung", attachments=()), NOW)
    trouble = Trouble("KeyError", "'Stichwort'", ((3, "onEMail"), (7, "value")))
    effect = effects.Notify(audience="all", text="x")
    outcome = Outcome(by="script:onEMail.py", exit="failed", effects=(effect,), trouble=trouble)
    for again in (NOW, None):
        task = stores.ledger.claim(stores.ledger.due_tasks(2, due(NOW))[0], NOW)
        assert task
        record = RunRecord(task, outcome, snapshot.sha256, NOW, 0, snapshot.scripts["onEMail.py"])
        stores.ledger.record_failure(record, again)
