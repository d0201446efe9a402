"""The tables of the records: missions, message forms, folder items, centre entries, notices.

Every column says what it holds. Numbers that must be gapless come from `register_head`, inside the commit.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from revscript.store.columns import NEVER_REUSE, Time, column, metadata, reference, row_id

register_head = Table(
    "register_head",
    metadata,
    Column("mission_id", Integer, primary_key=True, autoincrement=False, comment="0: the post's own register"),
    Column("book", String, primary_key=True, comment="messages, missions:YEAR"),
    column("next_no", Integer, "the next number; drawn inside the commit, so that none is missing"),
)

mission = Table(
    "mission",
    metadata,
    row_id(),
    column("number", String, "control centre's number, or an own one (YYYY-NNN)", unique=True),
    column("kind", String, "real, exercise, medical_standby, planned"),
    column("state", String, "running, closed"),
    column("lead", Boolean, "the main mission (Hauptlage)"),
    column("title", Text, "name, for people", default=""),
    column("keyword", Text, "Stichwort", default=""),
    column("text", Text, "what is reported (Meldebild)", default=""),
    column("address", Text, "Einsatzort, as it came", default=""),
    column("lat", Float, "WGS 84", null=True),
    column("lon", Float, "WGS 84", null=True),
    column("units", JSON, "units, in the order in which they were named"),
    column("as_of", Time, "date of the newest mail that changed it", null=True),
    column("opened_at", Time, "when it was opened here"),
    **NEVER_REUSE,
)

mission_entry = Table(
    "mission_entry",
    metadata,
    row_id(),
    reference("mission_id", "mission", "the mission"),
    column("kind", String, "opened, changed, late"),
    column("text", Text, "what happened, in words"),
    column("by", String, "who"),
    column("at", Time, "when"),
    reference("mail_id", "mail", "the mail it came from", null=True),
    Index(None, "mission_id"),
    Index(None, "mail_id"),
    **NEVER_REUSE,
)

message_form = Table(
    "message_form",
    metadata,
    row_id(),
    reference("mission_id", "mission", "the mission it belongs to", null=True),
    column("register_mission_id", Integer, "the register its number comes from; 0: the post's own"),
    column("register_no", Integer, "gapless in its register"),
    column("direction", String, "in"),
    column("state", String, "to_review"),
    column("priority", String, "routine, immediate, flash, emergency"),
    column("subject", Text, "Betreff"),
    column("text", Text, "Inhalt"),
    column("sender_unit", Text, "Absender"),
    column("sender_address", Text, "mail address of the sender"),
    column("addressee", Text, "Anschrift"),
    column("medium_actual", String, "email"),
    column("received_at", Time, "when the mail was received"),
    column("received_by", String, "sign of the account"),
    column("composed_at", Time, "the mail's date, where plausible", null=True),
    column("composed_at_raw", Text, "the Date field as it came", default=""),
    column("external_key", String, "the script's key, one form across mails", null=True, unique=True),
    column("touched_at", Time, "when a person first worked on it: later changes become entries", null=True),
    column("as_of", Time, "date of the newest mail that changed it", null=True),
    column("created_at", Time, "when it was made"),
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
    row_id(),
    reference("form_id", "message_form", "the form"),
    column("kind", String, "filed, changed, linked, late"),
    column("text", Text, "what happened, in words"),
    column("by", String, "who"),
    column("at", Time, "when"),
    reference("mail_id", "mail", "the mail it came from", null=True),
    Index(None, "form_id"),
    Index(None, "mail_id"),
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
    row_id(),
    reference("form_id", "message_form", "the form"),
    reference("blob_id", "blob", "the content"),
    column("name", Text, "safe file name"),
    column("type", String, "media type by content"),
    reference("mail_id", "mail", "the mail it came with", null=True),
    UniqueConstraint("form_id", "blob_id", "name"),
    Index(None, "blob_id"),
    Index(None, "mail_id"),
    **NEVER_REUSE,
)

folder_item = Table(
    "folder_item",
    metadata,
    row_id(),
    reference("mission_id", "mission", "empty: the unassigned tray", null=True),
    reference("blob_id", "blob", "the content"),
    column("name", Text, "safe file name, unique in its folder"),
    column("original_name", Text, "before a suffix was needed"),
    column("type", String, "media type by content"),
    column("tags", JSON, "words for finding it"),
    column("why", Text, "the rule that chose the mission (domain.md §6)"),
    column("by", String, "who"),
    column("at", Time, "when"),
    reference("mail_id", "mail", "the mail it came with", null=True),
    UniqueConstraint("mission_id", "name"),
    Index(None, "mission_id", "blob_id"),
    Index(None, "blob_id"),
    Index(None, "mail_id"),
    **NEVER_REUSE,
)

centre_entry = Table(
    "centre_entry",
    metadata,
    row_id(),
    column("mail_id", Integer, "the mail", ForeignKey("mail.id"), unique=True),
    column("state", String, "open"),
    column("at", Time, "when it appeared"),
    **NEVER_REUSE,
)

notice = Table(
    "notice",
    metadata,
    row_id(),
    column("key", String, "the same key is one notice, updated", unique=True),
    column("audience", String, "all, role, person, channel"),
    column("name", Text, "the role, person or channel"),
    column("text", Text, "what people read"),
    column("level", String, "info, important, alarm"),
    column("wished_level", String, "before a late mail's alarm was downgraded"),
    column("updates", Integer, "how often it was renewed"),
    reference("mission_id", "mission", "what it is about", null=True),
    reference("mail_id", "mail", "the mail it came from", null=True),
    column("as_of", Time, "date of the mail that it comes from: an older one does not replace it"),
    column("at", Time, "when it was last renewed"),
    **NEVER_REUSE,
)

mail_label = Table(
    "mail_label",
    metadata,
    Column("mail_id", Integer, ForeignKey("mail.id"), primary_key=True, comment="the mail"),
    Column("text", String, primary_key=True, comment="the label"),
    column("by", String, "who"),
    column("at", Time, "when"),
)
