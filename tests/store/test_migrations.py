"""The schema: what the migrations make is what `schema.py` says, and nobody opens what he does not know."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, text

from revscript.errors import StoreError
from revscript.host import Stores
from revscript.store.columns import metadata
from revscript.store.database import Database
from revscript.store.migrate import MIGRATIONS, NEWEST

OPEN = """
import sys
from pathlib import Path
from revscript.store.database import Database
print(Database(Path(sys.argv[1])).instance_id)
"""


def definitions(engine: Engine) -> dict[str, Counter[str]]:
    """The words of each table's and index's definition; the migration has its constraints in another order."""
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")).all()
    return {row.name: Counter(re.findall(r"\w+", row.sql)) for row in rows if row.name != "alembic_version"}


def test_a_fresh_database_is_what_the_tables_say(stores: Stores) -> None:
    with stores.database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_to_the_letter(stores: Stores) -> None:
    """What the comparison above does not look at: AUTOINCREMENT, names of constraints, keys."""
    plain = create_engine("sqlite://")
    metadata.create_all(plain)
    assert definitions(stores.database.engine) == definitions(plain)
    plain.dispose()


def test_newest_is_the_last_revision() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    scripts = ScriptDirectory.from_config(config)
    revisions = [script.revision for script in scripts.walk_revisions()]
    assert revisions[0] == scripts.get_current_head() == NEWEST
    assert revisions == sorted(revisions, reverse=True)  # `migrate` compares them as text
    names = [path.name for path in sorted((MIGRATIONS / "versions").glob("*.py"))]
    assert [name.partition("_")[0] for name in names] == sorted(revisions)


def test_the_schema_of_a_newer_revscript_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "revscript.db"
    database = Database(path)
    with database.write() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '9000'"))
    database.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="schema 9000") as refusal:
        Database(path)
    assert "restore a backup" in refusal.value.hint
    assert path.read_bytes() == before


def test_what_is_no_database_is_a_store_error(tmp_path: Path) -> None:
    path = tmp_path / "revscript.db"
    path.write_text("Dear diary " * 1000)
    with pytest.raises(StoreError, match=r"revscript\.db"):
        Database(path)


def test_several_who_open_a_new_store_at_once(tmp_path: Path) -> None:
    """A command beside the host: one of them makes the tables, all see the same store."""
    command = [sys.executable, "-c", OPEN, str(tmp_path / "revscript.db")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(set(said)) == 1


def test_every_column_says_what_it_holds() -> None:
    silent = {str(column) for table in metadata.tables.values() for column in table.c if not column.comment}
    assert silent == set()
