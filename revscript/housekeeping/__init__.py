"""The clockwork that rings for polls, and the regular jobs that keep an instance fit."""

from __future__ import annotations

from revscript.housekeeping.clockwork import Housekeeping, Job, Polled
from revscript.housekeeping.upkeep import Upkeep

__all__ = ["Housekeeping", "Job", "Polled", "Upkeep"]
