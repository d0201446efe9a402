"""Measurements, each as a ratio to a baseline in the same run: `python -m benchmarks.NAME`."""

from __future__ import annotations

import structlog

# What the host tells of each mail costs time on a terminal, and nobody reads it here.
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("warning"))
