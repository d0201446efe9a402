"""The host: everything that belongs to a running instance, put together."""

from __future__ import annotations

from revscript.host.host import WATCH_COMMITS, Host
from revscript.host.lock import locked
from revscript.host.stores import DATABASE, Stores, open_stores, sandbox_for

__all__ = ["DATABASE", "WATCH_COMMITS", "Host", "Stores", "locked", "open_stores", "sandbox_for"]
