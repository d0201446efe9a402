"""Tests of the clockwork and its regular jobs."""

from __future__ import annotations
