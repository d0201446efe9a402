"""All tables. Every column says what it holds.

Times are UTC (`Time`). Rows that wait for somebody (`task`, `act`) carry an owner (instance id) and a lease, so that
several hosts can share a store later. Numbers that must be gapless come from `register_head`, inside the commit.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.engine import Dialect

TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


class Time(TypeDecorator[datetime]):
    """An aware datetime, stored as sortable UTC text."""

    impl = String(27)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else value.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else datetime.strptime(value, TIME_FORMAT).replace(tzinfo=UTC)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _column(name: str, kind: Any, comment: str, *extra: Any, null: bool = False, **options: Any) -> Column[Any]:
    return Column(name, kind, *extra, nullable=null, comment=comment, **options)


def _id() -> Column[Any]:
    return Column("id", Integer, primary_key=True, autoincrement=True, comment="row number, never used again")


def _reference(name: str, target: str, comment: str, *, null: bool = False) -> Column[Any]:
    return Column(name, Integer, ForeignKey(f"{target}.id"), nullable=null, comment=comment)


NEVER_REUSE: dict[str, Any] = {"sqlite_autoincrement": True}

meta = Table(
    "meta",
    metadata,
    Column("name", String, primary_key=True, comment="what the value is, e.g. instance_id"),
    _column("value", String, "the value"),
)

blob = Table(
    "blob",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, comment="random; names the chunks"),
    _column("sha256", String(64), "of the whole content, hex", unique=True),
    _column("size", Integer, "bytes"),
    _column("created_at", Time, "when it was kept"),
)

blob_chunk = Table(
    "blob_chunk",
    metadata,
    Column("blob_id", Integer, primary_key=True, autoincrement=False, comment="blob.id; the head comes last"),
    Column("seq", Integer, primary_key=True, autoincrement=False, comment="0, 1, 2 …"),
    _column("data", LargeBinary, "at most 1 MiB"),
)

mailbox = Table(
    "mailbox",
    metadata,
    _id(),
    _column("protocol", String, "imap, pop3"),
    _column("host", String, "lower case"),
    _column("user", String, "login name"),
    _column("folder", String, "IMAP folder; empty for POP3"),
    _column("epoch", String, "IMAP UIDVALIDITY of the keys now in force (RFC 9051 §2.3.1.1)", null=True),
    _column("compare_below", Integer, "after a change of epoch: mails with smaller UIDs are compared by content"),
    _column("last_ok_at", Time, "last round trip that the server answered well", null=True),
    _column("next_poll_at", Time, "when the next poll is due", null=True),
    _column("error", Text, "why it does not work now; empty when it does", default=""),
    UniqueConstraint("protocol", "host", "user", "folder"),
)

mail = Table(
    "mail",
    metadata,
    _id(),
    _reference("mailbox_id", "mailbox", "where it lies on the server"),
    _column("account", String, "name of the account file under which it was received"),
    _column("epoch", String, "IMAP: the UIDVALIDITY under which the key holds; POP3: empty"),
    _column("server_key", String, "IMAP: the UID; POP3: the UIDL"),
    _column("server_size", Integer, "bytes as the server announced them"),
    _column("server_date", String, "IMAP INTERNALDATE as ISO 8601; empty when the server gives none"),
    _reference("blob_id", "blob", "the raw mail; its head only when `cut`"),
    _column("sha256", String(64), "of the raw mail as stored, hex"),
    _column("size", Integer, "bytes stored"),
    _column("cut", Boolean, "over the hard cap: only header lines were fetched; never deleted or moved"),
    _column("received_at", Time, "when it became durable here"),
    _column("state", String, "received, read, done"),
    _column("snapshot_sha256", String(64), "configuration under which it was received"),
    _column("settle", String, "waiting, settled: whether the server is tidy"),
    _column("settled_at", Time, "when the server was told", null=True),
    _column("settled_by", String, "what the server was told: seen, delete, none, move:FOLDER", null=True),
    _reference("possible_duplicate_of", "mail", "an earlier mail with the same bytes", null=True),
    UniqueConstraint("mailbox_id", "epoch", "server_key", "server_size", "server_date"),
    Index(None, "mailbox_id", "settle", "state"),
    Index(None, "state"),
    Index(None, "sha256"),
    **NEVER_REUSE,
)

reading = Table(
    "reading",
    metadata,
    Column("mail_id", Integer, ForeignKey("mail.id"), primary_key=True, comment="one reading per mail"),
    _column("version", String, "the reader's version"),
    _column("fallback", Boolean, "the reader could not read it"),
    _reference("blob_id", "blob", "the Reading as JSON"),
    _column("subject", Text, "for lists"),
    _column("sender", Text, "address, for lists"),
    _column("date", Time, "the mail's own date", null=True),
    _column("message_id", Text, "without angle brackets"),
    _column("created_at", Time, "when it was read"),
    Index(None, "message_id"),
)

task = Table(
    "task",
    metadata,
    _id(),
    _reference("mail_id", "mail", "the mail"),
    _column("account", String, "the mail's account: tasks of one account run in order"),
    _column("method", String, "script, document, centre, mission_folder"),
    _column("state", String, "waiting, running, done, quarantined, discarded"),
    _column("attempts", Integer, "counted before each try; a clean stop un-counts", default=0),
    _column("interruptions", Integer, "how often the host died during a try", default=0),
    _column("generation", Integer, "raised only by a forced re-run: its effects are new ones", default=0),
    _column("not_before", Time, "earliest time of the next try"),
    _column("owner", String, "instance that works on it", null=True),
    _column("lease_until", Time, "after this time another instance may take it", null=True),
    _column("exit", String, "how the last try ended", null=True),
    _column("reason", Text, "why it failed or was discarded", default=""),
    _column("finished_at", Time, "when it was done, quarantined or discarded", null=True),
    UniqueConstraint("mail_id", "method"),
    Index(None, "state", "account", "mail_id"),
    **NEVER_REUSE,
)

script_text = Table(
    "script_text",
    metadata,
    Column("sha256", String(64), primary_key=True, comment="of the text"),
    _column("name", String, "file name when it was first run"),
    _column("text", Text, "the script"),
)

run = Table(
    "run",
    metadata,
    _id(),
    _reference("task_id", "task", "the task"),
    _column("attempt", Integer, "1, 2, 3 …"),
    _column("by", String, "script:NAME or method:NAME"),
    _column("script_sha256", String(64), "the script's text", ForeignKey("script_text.sha256"), null=True),
    _column("snapshot_sha256", String(64), "configuration under which it ran"),
    _column("now", Time, "the run's time"),
    _column("exit", String, "done, ignored, unhandled, refused, failed, stopped, protocol"),
    _column("asked", JSON, "questions with their answers, in order"),
    _column("effects", JSON, "the effects, in order"),
    _column("log", JSON, "lines of the script's protocol"),
    _column("trouble", JSON, "exception or limit: type, text, frames", null=True),
    _column("cpu_ms", Integer, "CPU time of the child"),
    _column("conflicts", Integer, "how often it ran anew because an answer had changed"),
    _column("finished_at", Time, "when it was recorded"),
    Index(None, "task_id"),
    **NEVER_REUSE,
)

applied_effect = Table(
    "applied_effect",
    metadata,
    _id(),
    _column("key", String, "idempotency key; ends in the generation", unique=True),
    _column("by", String, "who wanted it"),
    _column("at", Time, "when"),
    _column("effect", String, "name of the effect"),
    _column("words", Text, "the effect in words"),
    _column("target", String, "the record it made or changed, e.g. form:12", default=""),
    _reference("mail_id", "mail", "the mail it came from", null=True),
    _column("run_id", Integer, "the run it came from", ForeignKey("run.id"), null=True),
    **NEVER_REUSE,
)

act = Table(
    "act",
    metadata,
    _id(),
    _column("key", String, "idempotency key, visible to the other side", unique=True),
    _column("kind", String, "mail"),
    _column("lane", String, "destination; lanes do not wait for each other, e.g. smtp:ACCOUNT"),
    _column("level", String, "info, important, alarm: the order inside a lane"),
    _column("state", String, "pending, sent, dead"),
    _column("payload", JSON, "what to deliver"),
    _column("tries", Integer, "tries begun", default=0),
    _column("next_at", Time, "earliest time of the next try"),
    _column("not_after", Time, "later than this it is pointless: dead"),
    _column("owner", String, "instance that works on it", null=True),
    _column("lease_until", Time, "after this time another instance may take it", null=True),
    _column("receipt", JSON, "what the other side said, per recipient", null=True),
    _column("error", Text, "why the last try failed", default=""),
    _column("created_at", Time, "when it was wished; also the mail's Date"),
    _column("finished_at", Time, "when it was sent or died", null=True),
    _reference("mail_id", "mail", "the mail it came from", null=True),
    Index(None, "state", "lane", "next_at"),
    **NEVER_REUSE,
)

register_head = Table(
    "register_head",
    metadata,
    Column("mission_id", Integer, primary_key=True, autoincrement=False, comment="0: the post's own register"),
    Column("book", String, primary_key=True, comment="messages, missions:YEAR"),
    _column("next_no", Integer, "the next number; drawn inside the commit, so that none is missing"),
)

mission = Table(
    "mission",
    metadata,
    _id(),
    _column("number", String, "control centre's number, or an own one (YYYY-NNN)", unique=True),
    _column("kind", String, "real, exercise, medical_standby, planned"),
    _column("state", String, "running, closed"),
    _column("lead", Boolean, "the main mission (Hauptlage)"),
    _column("title", Text, "name, for people", default=""),
    _column("keyword", Text, "Stichwort", default=""),
    _column("text", Text, "what is reported (Meldebild)", default=""),
    _column("address", Text, "Einsatzort, as it came", default=""),
    _column("lat", Float, "WGS 84", null=True),
    _column("lon", Float, "WGS 84", null=True),
    _column("units", JSON, "units, in the order in which they were named"),
    _column("as_of", Time, "date of the newest mail that changed it", null=True),
    _column("opened_at", Time, "when it was opened here"),
    **NEVER_REUSE,
)

mission_entry = Table(
    "mission_entry",
    metadata,
    _id(),
    _reference("mission_id", "mission", "the mission"),
    _column("kind", String, "opened, changed, late"),
    _column("text", Text, "what happened, in words"),
    _column("by", String, "who"),
    _column("at", Time, "when"),
    _reference("mail_id", "mail", "the mail it came from", null=True),
    Index(None, "mission_id"),
    **NEVER_REUSE,
)

message_form = Table(
    "message_form",
    metadata,
    _id(),
    _reference("mission_id", "mission", "the mission it belongs to", null=True),
    _column("register_mission_id", Integer, "the register its number comes from; 0: the post's own"),
    _column("register_no", Integer, "gapless in its register"),
    _column("direction", String, "in"),
    _column("state", String, "to_review"),
    _column("priority", String, "routine, immediate, flash, emergency"),
    _column("subject", Text, "Betreff"),
    _column("text", Text, "Inhalt"),
    _column("sender_unit", Text, "Absender"),
    _column("sender_address", Text, "mail address of the sender"),
    _column("addressee", Text, "Anschrift"),
    _column("medium_actual", String, "email"),
    _column("received_at", Time, "when the mail was received"),
    _column("received_by", String, "sign of the account"),
    _column("composed_at", Time, "the mail's date, where plausible", null=True),
    _column("composed_at_raw", Text, "the Date field as it came", default=""),
    _column("external_key", String, "the script's key, one form across mails", null=True, unique=True),
    _column("touched_at", Time, "when a person first worked on it: later changes become entries", null=True),
    _column("as_of", Time, "date of the newest mail that changed it", null=True),
    _column("created_at", Time, "when it was made"),
    UniqueConstraint("register_mission_id", "register_no"),
    **NEVER_REUSE,
)

form_source = Table(
    "form_source",
    metadata,
    Column("mail_id", Integer, ForeignKey("mail.id"), primary_key=True, comment="its first form is the mail's own"),
    Column(
        "form_id",
        Integer,
        ForeignKey("message_form.id"),
        primary_key=True,
        comment="a mail has further forms only by different keys; several mails may share one by its key",
    ),
    Index(None, "form_id"),
)

form_entry = Table(
    "form_entry",
    metadata,
    _id(),
    _reference("form_id", "message_form", "the form"),
    _column("kind", String, "filed, changed, linked, late"),
    _column("text", Text, "what happened, in words"),
    _column("by", String, "who"),
    _column("at", Time, "when"),
    _reference("mail_id", "mail", "the mail it came from", null=True),
    Index(None, "form_id"),
    **NEVER_REUSE,
)

form_recipient = Table(
    "form_recipient",
    metadata,
    Column("form_id", Integer, ForeignKey("message_form.id"), primary_key=True, comment="the form"),
    Column("function", String, primary_key=True, comment="S1 … S6, or an own one"),
)

form_attachment = Table(
    "form_attachment",
    metadata,
    _id(),
    _reference("form_id", "message_form", "the form"),
    _reference("blob_id", "blob", "the content"),
    _column("name", Text, "safe file name"),
    _column("type", String, "media type by content"),
    _reference("mail_id", "mail", "the mail it came with", null=True),
    UniqueConstraint("form_id", "blob_id", "name"),
    **NEVER_REUSE,
)

folder_item = Table(
    "folder_item",
    metadata,
    _id(),
    _reference("mission_id", "mission", "empty: the unassigned tray", null=True),
    _reference("blob_id", "blob", "the content"),
    _column("name", Text, "safe file name, unique in its folder"),
    _column("original_name", Text, "before a suffix was needed"),
    _column("type", String, "media type by content"),
    _column("tags", JSON, "words for finding it"),
    _column("why", Text, "the rule that chose the mission (domain.md §6)"),
    _column("by", String, "who"),
    _column("at", Time, "when"),
    _reference("mail_id", "mail", "the mail it came with", null=True),
    UniqueConstraint("mission_id", "name"),
    Index(None, "mission_id", "blob_id"),
    **NEVER_REUSE,
)

centre_entry = Table(
    "centre_entry",
    metadata,
    _id(),
    _column("mail_id", Integer, "the mail", ForeignKey("mail.id"), unique=True),
    _column("state", String, "open"),
    _column("at", Time, "when it appeared"),
    **NEVER_REUSE,
)

notice = Table(
    "notice",
    metadata,
    _id(),
    _column("key", String, "the same key is one notice, updated", unique=True),
    _column("audience", String, "all, role, person, channel"),
    _column("name", Text, "the role, person or channel"),
    _column("text", Text, "what people read"),
    _column("level", String, "info, important, alarm"),
    _column("wished_level", String, "before a late mail's alarm was downgraded"),
    _column("updates", Integer, "how often it was renewed"),
    _reference("mission_id", "mission", "what it is about", null=True),
    _reference("mail_id", "mail", "the mail it came from", null=True),
    _column("as_of", Time, "date of the mail that it comes from: an older one does not replace it"),
    _column("at", Time, "when it was last renewed"),
    **NEVER_REUSE,
)

mail_label = Table(
    "mail_label",
    metadata,
    Column("mail_id", Integer, ForeignKey("mail.id"), primary_key=True, comment="the mail"),
    Column("text", String, primary_key=True, comment="the label"),
    _column("by", String, "who"),
    _column("at", Time, "when"),
)

problem = Table(
    "problem",
    metadata,
    Column("key", String, primary_key=True, comment="names the trouble"),
    _column("severity", String, "warning, error"),
    _column("where", Text, "file, account, mail …"),
    _column("what", Text, "what is wrong"),
    _column("way_out", Text, "what to do"),
    _column("since", Time, "when it began"),
    _column("last_at", Time, "when it was last seen"),
)
