"""The wheel as an administrator gets it: installed into an empty environment, used from an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
JAIL = """
import importlib, pathlib, pkgutil, sys, revscript.jail
for module in pkgutil.walk_packages(revscript.jail.__path__, "revscript.jail."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
assert pathlib.Path(revscript.jail.__file__).is_relative_to(sys.prefix), revscript.jail.__file__
"""

pytestmark = pytest.mark.timeout(600)


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a command without what this environment adds → its output, which a failure shows."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COLUMNS"))}
    done = subprocess.run(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", check=False
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT)
    return next(folder.glob("revscript-*.whl"))


def test_the_wheel_holds_what_is_no_code(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    folder = ROOT / "revscript" / "demo"
    data = [*folder.glob("mails/*.eml"), *folder.glob("scripts/*.py"), *(ROOT / "revscript").rglob("versions/*.py")]
    missing = {str(path.relative_to(ROOT)) for path in data} - names
    assert len(data) > 16
    assert not missing
    assert not [name for name in names if name.startswith(("tests", "benchmarks"))]


def test_the_wheel_works_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    environment, empty = tmp_path / "venv", tmp_path / "empty"
    empty.mkdir()
    venv.create(environment, with_pip=True)
    run(environment / "bin" / "pip", "install", "-q", "--disable-pip-version-check", f"{wheel}[demo]", cwd=empty)
    run(environment / "bin" / "python", "-I", "-c", JAIL, cwd=empty)
    assert "all as designed" in run(environment / "bin" / "revscript", "demo", "--once", cwd=empty)
    assert list(empty.iterdir()) == []
