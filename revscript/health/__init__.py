"""Silence is a fault: what needs a person, and the watch that notices what nobody would tell."""

from __future__ import annotations

from revscript.health.clock import HostClock
from revscript.health.guard import Guard
from revscript.health.problems import Problems, Standing, stored_problems
from revscript.health.silence import Sign

__all__ = ["Guard", "HostClock", "Problems", "Sign", "Standing", "stored_problems"]
