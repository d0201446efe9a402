"""What a live host knows more: mode and readers of a mailbox, script sets, people's work on tasks, canaries."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


# Foreign keys that SQLite looks up at each deletion: retention would hold the write lock for long without them.
LOOKED_UP = (
    ("mail", "blob_id"),
    ("reading", "blob_id"),
    ("run", "script_sha256"),
    ("applied_effect", "mail_id"),
    ("act", "mail_id"),
    ("mission_entry", "mail_id"),
    ("form_entry", "mail_id"),
    ("form_attachment", "blob_id"),
    ("form_attachment", "mail_id"),
    ("folder_item", "blob_id"),
    ("folder_item", "mail_id"),
)


def upgrade() -> None:
    for table, column in LOOKED_UP:
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column])
    for column in (
        sa.Column("mode", sa.String(), server_default="", nullable=False),
        sa.Column("mail_at", sa.String(27), nullable=True),
        sa.Column("looked_below", sa.Integer(), server_default="0", nullable=False),
        sa.Column("read_by_others", sa.Integer(), server_default="0", nullable=False),
        sa.Column("watched_since", sa.String(27), nullable=True),
        sa.Column("baseline_date", sa.String(), nullable=True),
        sa.Column("baseline_epoch", sa.String(), nullable=True),
        sa.Column("baseline_below", sa.Integer(), nullable=True),
    ):
        op.add_column("mailbox", column)
    op.create_index(op.f("ix_mail_mailbox_id_id"), "mail", ["mailbox_id", "id"])
    op.add_column("mail", sa.Column("purged_at", sa.String(27), nullable=True))
    op.add_column("task", sa.Column("script_sha256", sa.String(64), nullable=True))
    op.add_column("script_text", sa.Column("libraries", sa.JSON(), server_default="{}", nullable=False))
    op.add_column("script_text", sa.Column("tables", sa.JSON(), server_default="{}", nullable=False))
    op.create_table(
        "task_entry",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("task_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", sa.String(27), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_task_entry_task_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task_entry")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_task_entry_task_id"), "task_entry", ["task_id"])
    op.create_index(op.f("ix_task_entry_kind_by_why"), "task_entry", ["kind", "by", "why"])
    op.create_table(
        "canary",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("sent_at", sa.String(27), nullable=False),
        sa.Column("seen_at", sa.String(27), nullable=True),
        sa.Column("mail_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["mail_id"], ["mail.id"], name=op.f("fk_canary_mail_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_canary")),
        sa.UniqueConstraint("message_id", name=op.f("uq_canary_message_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_canary_account_sent_at"), "canary", ["account", "sent_at"])
    _dates_in_utc()


def _dates_in_utc() -> None:
    """INTERNALDATE belongs to a mail's identity: as an instant, not as the words in which a server says it."""
    connection = op.get_bind()
    rows = connection.execute(sa.text("SELECT id, server_date FROM mail WHERE server_date <> ''")).all()
    for mail_id, date in rows:
        instant = datetime.fromisoformat(date).astimezone(UTC).isoformat()
        connection.execute(
            sa.text("UPDATE mail SET server_date = :date WHERE id = :id"), {"date": instant, "id": mail_id}
        )
