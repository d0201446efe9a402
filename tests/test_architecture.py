"""The floors of the house are checked, and the check can fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on a copy of the tree."""
    return subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package and its contracts."""
    shutil.copytree(ROOT / "revscript", tmp_path / "revscript", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "planted", "broken"),
    [
        ("records/centre.py", "import revscript.engine", "Floors"),
        ("methods/centre.py", "import revscript.methods.document", "The four methods"),
        ("jail/child.py", "import revscript.model", "Floors"),
        ("inbound/watch.py", "import sqlalchemy", "SQLAlchemy only"),
        ("jail/reading/read.py", "import pydantic", "The jail loads nothing of the host"),
        ("new_room.py", "", "Floors"),
    ],
)
def test_a_planted_import_breaks_its_contract(copy: Path, file: str, planted: str, broken: str) -> None:
    target = copy / "revscript" / file
    target.write_text((target.read_text() if target.exists() else "") + f"\n{planted}\n")
    result = lint(copy)
    assert result.returncode != 0
    assert any(broken in line and "BROKEN" in line for line in result.stdout.splitlines()), result.stdout


def test_the_tree_keeps_all_contracts(copy: Path) -> None:
    result = lint(copy)
    assert result.returncode == 0, result.stdout
