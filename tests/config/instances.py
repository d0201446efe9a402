"""Instance folders for these tests."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from revscript.config import Secrets
from revscript.snapshot import Instance, Snapshot, load_snapshot

ROOT = Path(__file__).parents[2]
ENVIRON = {"REVSCRIPT_SECRET_GOOD": "correct-horse"}


def instance_of(case: Path, root: Path) -> Instance:
    """Make an instance of a case's files: `settings.json`, and every other JSON file as an account.

    `environ.json` is no file of the instance: `environ_of` reads it.
    """
    instance = Instance(root)
    instance.accounts.mkdir()
    instance.user_scripts.mkdir()
    (instance.user_scripts / "onEMail.py").write_text("def onEMail(mail):\n    mail.ignore('test')\n")
    for path in case.glob("*.json"):
        if path.name == "environ.json":
            continue
        shutil.copy(path, instance.settings if path.name == "settings.json" else instance.accounts)
    return instance


def environ_of(case: Path) -> dict[str, str]:
    """The environment variables of a case."""
    path = case / "environ.json"
    return json.loads(path.read_text()) if path.exists() else {}


def snapshot_of(instance: Instance, environ: Mapping[str, str] | None = None) -> Snapshot:
    """Load an instance that knows one secret, `good`, and nothing of this machine's environment."""
    return load_snapshot(instance, Secrets(instance.secrets, {**ENVIRON, **(environ or {})}))
