"""Tests of the port for health and metrics."""

from __future__ import annotations
