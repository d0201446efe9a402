"""The port for people and programs: whether the host is alive and ready, and its metrics."""

from __future__ import annotations

from revscript.web.metrics import Metrics, Sources
from revscript.web.probes import Probes
from revscript.web.pulse import Pulse

__all__ = ["Metrics", "Probes", "Pulse", "Sources"]
