"""Hot reload: changed files become the next snapshot, in force within a second."""

from __future__ import annotations

from revscript.reload.changes import Changes, changes
from revscript.reload.load import Loader
from revscript.reload.reload import Reload

__all__ = ["Changes", "Loader", "Reload", "changes"]
