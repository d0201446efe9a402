"""The demo's instance folder: what an administrator would write, with the addresses of the demo's servers."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path
from typing import Any

from revscript.demo.certificate import CA_FILE
from revscript.demo.mailserver import HOST
from revscript.snapshot import Instance

DOMAIN = "feuerwehr-musterstadt.example"
SECRET = "demo"
INTERVAL = 0.015  # minutes between polls
SCRIPTS = Path(__file__).with_name("scripts")

# Tries in minutes: an administrator would leave 0, 1 and 10; nobody wants to watch that.
SETTINGS: dict[str, Any] = {
    "organisation": {"name": "Feuerwehr Musterstadt"},
    "tries": [0, 0.02, 0.05],
    "backoff": {"first": 1, "most": 5},
}

ACCOUNTS: dict[str, dict[str, Any]] = {
    "leitstelle": {
        "label": "Alarme der Leitstelle",
        "address": f"alarm@{DOMAIN}",
        "receiving": {"after": "seen"},
        "methods": {"script": {"file": "leitstelle.py"}, "document": True},
    },
    "stab": {
        "label": "Stab Feuerwehr Musterstadt",
        "address": f"stab@{DOMAIN}",
        "receiving": {"after": {"move": "Erledigt"}},
        "methods": {"script": {"file": "stab.py"}, "document": True, "centre": True, "mission_folder": True},
    },
    "wetter": {
        "label": "Wetterwarnungen",
        "address": f"wetter@{DOMAIN}",
        "receiving": {"after": "delete"},
        "methods": {"script": {"file": "wetter.py"}, "centre": True},
    },
}

USERS: dict[str, str] = {account["address"]: name for name, account in ACCOUNTS.items()}
ADDRESSES = {name: address for address, name in USERS.items()}


def make(root: Path, password: str, imap_port: int, smtp_port: int) -> Instance:
    """Write accounts, settings, scripts and the password; the servers' `ca.pem` lies in `root` already."""
    instance = Instance(root)
    for folder in (instance.accounts, instance.secrets):
        folder.mkdir(mode=0o700)
    shutil.copytree(SCRIPTS, instance.user_scripts, ignore=shutil.ignore_patterns("__pycache__"))
    secret = instance.secrets / SECRET
    secret.touch(mode=0o600)
    secret.write_text(password)
    _write(instance.settings, SETTINGS | {"web": {"port": _free_port()}})
    for name in ACCOUNTS:
        _write(instance.accounts / f"{name}.json", _account(name, imap_port, smtp_port))
    return instance


def _free_port() -> int:
    """A port for `/readyz` and its like; the usual one may belong to a host that runs here in earnest."""
    with socket.create_server((HOST, 0)) as taken:
        return taken.getsockname()[1]


def _account(name: str, imap_port: int, smtp_port: int) -> dict[str, Any]:
    account = ACCOUNTS[name]
    receiving = {"protocol": "imap", "host": HOST, "port": imap_port, "interval": INTERVAL}
    login = {"method": "password", "username": name, "password": f"secret:{SECRET}"}
    sending = {"protocol": "smtp", "host": HOST, "port": smtp_port} if name == "stab" else {"protocol": "none"}
    return account | {
        "authentication": login,
        "receiving": receiving | account["receiving"],
        "sending": sending,
        "ca_file": CA_FILE,
    }


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n")
