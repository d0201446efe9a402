"""What people did with tasks in another process (the command line), told in the host's log."""

from __future__ import annotations

import structlog

from revscript.store.quarantine import Quarantine

log = structlog.get_logger()


class PeoplesWork:
    """Tells each entry once."""

    def __init__(self, quarantine: Quarantine) -> None:
        self._quarantine = quarantine
        self._told = 0

    def begin(self) -> None:
        """What was done before is not told."""
        self._told = max((entry.id for entry in self._quarantine.entries_after(None)), default=0)

    def tell(self) -> None:
        """A line for each entry since the last call."""
        for entry in self._quarantine.entries_after(self._told):
            log.info(entry.kind, mail=entry.mail_id, task=entry.task_id, by=entry.by, why=entry.why)
            self._told = entry.id
