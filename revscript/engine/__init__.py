"""The engine: claim → read → run → commit; tries, give-up, quarantine."""

from __future__ import annotations

from revscript.engine.reading import Reader
from revscript.engine.trying import Trying
from revscript.engine.workers import Engine

__all__ = ["Engine", "Reader", "Trying"]
