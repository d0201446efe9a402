"""Telling the server of finished mails, and noting what has come true."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from revscript.inbound.source import Refused, Session, Settlement
from revscript.inbound.tools import Tools
from revscript.inbound.watched import Watched

SETTLE_BATCH = 200  # mails told to the server together

log = structlog.get_logger()


class Settling:
    """One mailbox's way back. `check` raises when the watcher is to end."""

    def __init__(self, watched: Watched, tools: Tools, check: Callable[[], None]) -> None:
        self._watched = watched
        self._tools = tools
        self._check = check
        self._refused = False

    def once_more(self) -> None:
        """What the server has refused is to be asked again."""
        self._refused = False

    def settle(self, session: Session) -> None:
        """Tell the server of finished mails. That it refuses this keeps no new mail from being received."""
        if self._refused:
            return
        watched = self._watched
        try:
            while finished := self._tools.intake.finished(watched.mailbox_id, SETTLE_BATCH):
                self._check()
                log.debug("settling", account=watched.name, count=len(finished))
                try:
                    session.settle([watched.settlement(one) for one in finished])
                finally:
                    settled = session.end_round()
                    log.debug("told", account=watched.name, count=len(settled))
                    self._note(settled)
                self._tools.problems.clear(f"settle:{watched.name}")
                if len(settled) < len(finished) or len(finished) < SETTLE_BATCH:
                    return
        except Refused as error:
            self._refused = True
            log.warning("settling refused", account=watched.name, why=str(error))
            self._tools.problems.report(watched.unsettled(error))

    def _note(self, settled: Sequence[Settlement]) -> None:
        for what in {one.what for one in settled}:
            self._check()
            now = self._tools.clock()
            self._tools.intake.settled([one.mail_id for one in settled if one.what == what], what, now)
        for one in settled:
            log.info("settled", mail=one.mail_id, account=self._watched.name, by=one.what)
