"""The tables of a mail's way: mailboxes, mails, readings, tasks, runs, acts. Every column says what it holds.

Rows that wait for somebody (`task`, `act`) carry an owner (instance id) and a lease, so that several hosts can share a
store later. The records that mails turn into are in `record_tables.py`.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from revscript.store.columns import NEVER_REUSE, Time, column, metadata, reference, row_id

meta = Table(
    "meta",
    metadata,
    Column("name", String, primary_key=True, comment="what the value is, e.g. instance_id"),
    column("value", String, "the value"),
)

blob = Table(
    "blob",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, comment="random; names the chunks"),
    column("sha256", String(64), "of the whole content, hex", unique=True),
    column("size", Integer, "bytes"),
    column("created_at", Time, "when it was kept"),
)

blob_chunk = Table(
    "blob_chunk",
    metadata,
    Column("blob_id", Integer, primary_key=True, autoincrement=False, comment="blob.id; the head comes last"),
    Column("seq", Integer, primary_key=True, autoincrement=False, comment="0, 1, 2 …"),
    column("data", LargeBinary, "at most 1 MiB"),
)

mailbox = Table(
    "mailbox",
    metadata,
    row_id(),
    column("protocol", String, "imap, pop3"),
    column("host", String, "lower case"),
    column("user", String, "login name"),
    column("folder", String, "IMAP folder; empty for POP3"),
    column("epoch", String, "IMAP UIDVALIDITY of the keys now in force (RFC 9051 §2.3.1.1)", null=True),
    column("compare_below", Integer, "after a change of epoch: mails with smaller UIDs are compared by content"),
    column("last_ok_at", Time, "last round trip that the server answered well", null=True),
    column("next_poll_at", Time, "when the next poll is due", null=True),
    column("error", Text, "why it does not work now; empty when it does", default=""),
    column("mode", String, "push, poll, down; empty: not watched yet", default="", server_default=""),
    column("mail_at", Time, "when the last new mail was received", null=True),
    column(
        "looked_below", Integer, "mails with smaller UIDs were looked at at least once", default=0, server_default="0"
    ),
    column("read_by_others", Integer, "mails that somebody else had read first", default=0, server_default="0"),
    column("watched_since", Time, "when it was looked into for the first time", null=True),
    column(
        "baseline_date", String, "newest INTERNALDATE at the first contact, where older mails are left alone", null=True
    ),
    column("baseline_epoch", String, "UIDVALIDITY at that time", null=True),
    column("baseline_below", Integer, "mails with smaller UIDs were there then", null=True),
    UniqueConstraint("protocol", "host", "user", "folder"),
)

mail = Table(
    "mail",
    metadata,
    row_id(),
    reference("mailbox_id", "mailbox", "where it lies on the server"),
    column("account", String, "name of the account file under which it was received"),
    column("epoch", String, "IMAP: the UIDVALIDITY under which the key holds; POP3: empty"),
    column("server_key", String, "IMAP: the UID; POP3: the UIDL"),
    column("server_size", Integer, "bytes as the server announced them"),
    column("server_date", String, "IMAP INTERNALDATE as ISO 8601; empty when the server gives none"),
    reference("blob_id", "blob", "the raw mail; its head only when `cut`"),
    column("sha256", String(64), "of the raw mail as stored, hex"),
    column("size", Integer, "bytes stored"),
    column("cut", Boolean, "over the hard cap: only header lines were fetched; never deleted or moved"),
    column("received_at", Time, "when it became durable here"),
    column("state", String, "received, read, done"),
    column("snapshot_sha256", String(64), "configuration under which it was received"),
    column("settle", String, "waiting, settled: whether the server is tidy"),
    column("settled_at", Time, "when the server was told", null=True),
    column("settled_by", String, "what the server was told: seen, delete, none, move:FOLDER", null=True),
    reference("possible_duplicate_of", "mail", "an earlier mail with the same bytes", null=True),
    column(
        "purged_at",
        Time,
        "when raw mail and reading were removed (retention); `blob_id` is an empty blob then",
        null=True,
    ),
    UniqueConstraint("mailbox_id", "epoch", "server_key", "server_size", "server_date"),
    Index(None, "mailbox_id", "settle", "state"),
    Index(None, "mailbox_id", "id"),
    Index(None, "state"),
    Index(None, "sha256"),
    Index(None, "blob_id"),
    **NEVER_REUSE,
)

reading = Table(
    "reading",
    metadata,
    Column("mail_id", Integer, ForeignKey("mail.id"), primary_key=True, comment="one reading per mail"),
    column("version", String, "the reader's version"),
    column("fallback", Boolean, "the reader could not read it"),
    reference("blob_id", "blob", "the Reading as JSON"),
    column("subject", Text, "for lists"),
    column("sender", Text, "address, for lists"),
    column("date", Time, "the mail's own date", null=True),
    column("message_id", Text, "without angle brackets"),
    column("created_at", Time, "when it was read"),
    Index(None, "message_id"),
    Index(None, "blob_id"),
)

task = Table(
    "task",
    metadata,
    row_id(),
    reference("mail_id", "mail", "the mail"),
    column("account", String, "the mail's account: tasks of one account run in order"),
    column("method", String, "script, document, centre, mission_folder"),
    column("state", String, "waiting, running, done, quarantined, discarded"),
    column("attempts", Integer, "counted before each try; a clean stop un-counts", default=0),
    column("interruptions", Integer, "how often the host died during a try", default=0),
    column("generation", Integer, "raised only by a forced re-run: its effects are new ones", default=0),
    column("not_before", Time, "earliest time of the next try"),
    column("owner", String, "instance that works on it", null=True),
    column("lease_until", Time, "after this time another instance may take it", null=True),
    column("exit", String, "how the last try ended", null=True),
    column("reason", Text, "why it failed or was discarded", default=""),
    column("finished_at", Time, "when it was done, quarantined or discarded", null=True),
    column("script_sha256", String(64), "the script version it must run with; empty: the one in force", null=True),
    UniqueConstraint("mail_id", "method"),
    Index(None, "state", "account", "mail_id"),
    **NEVER_REUSE,
)

task_entry = Table(
    "task_entry",
    metadata,
    row_id(),
    reference("task_id", "task", "the task"),
    column("kind", String, "rerun, healed, discarded, stepped_aside"),
    column("by", String, "who: cli:USER, or reload:SCRIPT when a changed script did it"),
    column("at", Time, "when"),
    column("why", Text, "the reason given", default=""),
    Index(None, "task_id"),
    Index(None, "kind", "by", "why"),
    **NEVER_REUSE,
)

script_text = Table(
    "script_text",
    metadata,
    Column("sha256", String(64), primary_key=True, comment="of the script with its libraries and tables"),
    column("name", String, "file name when it was first run"),
    column("text", Text, "the script"),
    column("libraries", JSON, "what it imports, directly or not: name → text", default=dict, server_default="{}"),
    column("tables", JSON, "the tables it may ask: file name → text", default=dict, server_default="{}"),
)

run = Table(
    "run",
    metadata,
    row_id(),
    reference("task_id", "task", "the task"),
    column("attempt", Integer, "1, 2, 3 …"),
    column("by", String, "script:NAME or method:NAME"),
    column("script_sha256", String(64), "the script's text", ForeignKey("script_text.sha256"), null=True),
    column("snapshot_sha256", String(64), "configuration under which it ran"),
    column("now", Time, "the run's time"),
    column("exit", String, "done, ignored, unhandled, refused, failed, stopped, protocol"),
    column("asked", JSON, "questions with their answers, in order"),
    column("effects", JSON, "the effects, in order"),
    column("log", JSON, "lines of the script's protocol"),
    column("trouble", JSON, "exception or limit: type, text, frames", null=True),
    column("cpu_ms", Integer, "CPU time of the child"),
    column("conflicts", Integer, "how often it ran anew because an answer had changed"),
    column("finished_at", Time, "when it was recorded"),
    Index(None, "task_id"),
    Index(None, "script_sha256"),
    **NEVER_REUSE,
)

applied_effect = Table(
    "applied_effect",
    metadata,
    row_id(),
    column("key", String, "idempotency key; ends in the generation", unique=True),
    column("by", String, "who wanted it"),
    column("at", Time, "when"),
    column("effect", String, "name of the effect"),
    column("words", Text, "the effect in words"),
    column("target", String, "the record it made or changed, e.g. form:12", default=""),
    reference("mail_id", "mail", "the mail it came from", null=True),
    column("run_id", Integer, "the run it came from", ForeignKey("run.id"), null=True),
    Index(None, "mail_id"),
    **NEVER_REUSE,
)

act = Table(
    "act",
    metadata,
    row_id(),
    column("key", String, "idempotency key, visible to the other side", unique=True),
    column("kind", String, "mail"),
    column("lane", String, "destination; lanes do not wait for each other, e.g. smtp:ACCOUNT"),
    column("level", String, "info, important, alarm: the order inside a lane"),
    column("state", String, "pending, sent, dead"),
    column("payload", JSON, "what to deliver"),
    column("tries", Integer, "tries begun", default=0),
    column("next_at", Time, "earliest time of the next try"),
    column("not_after", Time, "later than this it is pointless: dead"),
    column("owner", String, "instance that works on it", null=True),
    column("lease_until", Time, "after this time another instance may take it", null=True),
    column("receipt", JSON, "what the other side said, per recipient", null=True),
    column("error", Text, "why the last try failed", default=""),
    column("created_at", Time, "when it was wished; also the mail's Date"),
    column("finished_at", Time, "when it was sent or died", null=True),
    reference("mail_id", "mail", "the mail it came from", null=True),
    Index(None, "state", "lane", "next_at"),
    Index(None, "mail_id"),
    **NEVER_REUSE,
)

canary = Table(
    "canary",
    metadata,
    row_id(),
    column("account", String, "the account that sends it to itself"),
    column("message_id", String, "by which it is recognised; nobody can guess it", unique=True),
    column("sent_at", Time, "when it was put into the outbox"),
    column("seen_at", Time, "when it came back", null=True),
    reference("mail_id", "mail", "the mail as which it came back", null=True),
    Index(None, "account", "sent_at"),
    **NEVER_REUSE,
)

problem = Table(
    "problem",
    metadata,
    Column("key", String, primary_key=True, comment="names the trouble"),
    column("severity", String, "warning, error"),
    column("where", Text, "file, account, mail …"),
    column("what", Text, "what is wrong"),
    column("way_out", Text, "what to do"),
    column("since", Time, "when it began"),
    column("last_at", Time, "when it was last seen"),
)
