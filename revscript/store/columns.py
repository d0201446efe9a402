"""What all tables share: how their columns are written, and how times are stored (UTC, `Time`)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    Column,
    ForeignKey,
    Integer,
    MetaData,
    String,
    TypeDecorator,
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


def column(name: str, kind: Any, comment: str, *extra: Any, null: bool = False, **options: Any) -> Column[Any]:
    """A column that says what it holds; NOT NULL unless `null`."""
    return Column(name, kind, *extra, nullable=null, comment=comment, **options)


def row_id() -> Column[Any]:
    """The primary key of a table with NEVER_REUSE."""
    return Column("id", Integer, primary_key=True, autoincrement=True, comment="row number, never used again")


def reference(name: str, target: str, comment: str, *, null: bool = False) -> Column[Any]:
    """The id of a row of another table."""
    return Column(name, Integer, ForeignKey(f"{target}.id"), nullable=null, comment=comment)


NEVER_REUSE: dict[str, Any] = {"sqlite_autoincrement": True}
