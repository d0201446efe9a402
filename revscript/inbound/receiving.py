"""From the server into the store: which mails are new, fetching them, and what is noted of the mailbox."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime

import structlog

from revscript.errors import StoreError
from revscript.inbound.source import Fetched, Listing, Refused, Session, Vanished
from revscript.inbound.suspects import Suspects
from revscript.inbound.tools import Tools
from revscript.inbound.watched import Watched
from revscript.model import ServerMail
from revscript.store.intake import Incoming
from revscript.store.mailboxes import Baseline, Memory

KNOWN_BATCH = 500  # known mails looked up together

log = structlog.get_logger()


class Stopped(Exception):
    """The watcher is to end: nothing more may be read or written."""


class Receiving:
    """One mailbox's way in. `check` raises Stopped when the watcher is to end."""

    def __init__(self, watched: Watched, tools: Tools, check: Callable[[], None]) -> None:
        self._watched = watched
        self._tools = tools
        self._check = check
        self._suspects = Suspects()
        self._unclear = 0
        self.incomplete = False  # the last look found mails that the server did not give yet
        self._memory: Memory | None = None  # of the present session
        self._looked_at: datetime | None = None  # when the last whole look of the present session began

    def begin(self) -> None:
        """A new session: what is known of the mailbox may have become wrong."""
        self._memory = self._looked_at = None

    # ------------------------------------------------------------ looking

    def look(self, session: Session, between: Callable[[], None], *, patient: bool = False) -> int:
        """A whole look into the mailbox → how many mails were received. `between` is called after each batch.

        `patient`: a mail that is listed but cannot be fetched yet is no suspect; it was announced a moment ago.
        """
        watched, intake = self._watched, self._tools.intake
        self.incomplete = False
        began = self._tools.clock()
        memory = self._memory or intake.memory(watched.mailbox_id)
        others_matter = memory.watched and not watched.receiving.include_read
        listing = session.list(memory.looked_below if others_matter else None)
        self._check()
        if self._memory is None or listing.epoch != self._memory.epoch:  # the session may have connected anew
            memory = self._begin(session, listing, memory)
        candidates = [mail for mail in listing.mails if not self._left_alone(memory, mail)]
        new = intake.unknown(watched.mailbox_id, candidates)
        self._resettle(candidates, new)
        received = 0
        for batch in self._suspects.batches(new):
            received += self._receive(session, batch, patient=patient)
            between()
        self._tell_of_suspects()
        self._tell_of_unclear(listing.unclear)
        self._date(new, memory)
        self._remember(listing, memory)
        self._looked_at = began
        log.debug("looked", account=watched.name, listed=len(listing.mails), new=len(new))
        return received

    def take(self, session: Session) -> int:
        """Receive what the server has just announced, if that can be done at once → how many mails."""
        memory = self._memory
        if memory is None:
            return 0
        log.debug("fetching", account=self._watched.name)
        try:
            incoming = [one for fetched in session.announced() if (one := self._stage(fetched))]
        except Refused:  # one of them cannot be given: the ordinary look finds out which
            return 0
        log.debug("fetched", account=self._watched.name, count=len(incoming))
        if not incoming:
            return 0
        received = self._keep(incoming)
        self._date([one.listed for one in incoming], memory)
        return received

    def _left_alone(self, memory: Memory, mail: ServerMail) -> bool:
        return self._watched.receiving.first_contact == "new" and memory.lay_there(mail)

    def _begin(self, session: Session, listing: Listing, memory: Memory) -> Memory:
        """The first look of a session: which numbers are in force, and whether the mailbox is new to us."""
        watched, intake, problems = self._watched, self._tools.intake, self._tools.problems
        first = not memory.watched
        if first:
            self._first_contact(session, listing)
        renumbered = intake.begin_epoch(watched.mailbox_id, listing.epoch, listing.next_key)
        if not listing.lasting:
            problems.report(watched.unnumbered())
        else:
            problems.clear(f"unnumbered:{watched.name}")
            if renumbered:
                problems.report(watched.renumbered())
        self._memory = memory = intake.memory(watched.mailbox_id)
        if first:
            left = sum(self._left_alone(memory, mail) for mail in listing.mails)
            log.info(
                "first contact", account=watched.name, will_be_processed=len(listing.mails) - left, left_alone=left
            )
        return memory

    def _first_contact(self, session: Session, listing: Listing) -> None:
        baseline = None
        now = self._tools.clock()
        if self._watched.receiving.first_contact == "new":
            newest = session.newest_date()
            # A date in the future (somebody's import) would hide new mails after a renumbering.
            date = min(datetime.fromisoformat(newest), now) if newest else None
            baseline = Baseline(listing.epoch, listing.next_key, date)
        self._check()
        self._tools.intake.first_contact(self._watched.mailbox_id, now, baseline)

    def _remember(self, listing: Listing, memory: Memory) -> None:
        """How far was looked, and how many mails were read by others before we saw them."""
        if listing.epoch != memory.epoch or listing.looked_below <= memory.looked_below:
            return
        self._check()
        intake, mailbox_id = self._tools.intake, self._watched.mailbox_id
        fresh = [key for key in listing.read if int(key) >= memory.looked_below]
        others = intake.strangers(mailbox_id, listing.epoch, fresh) if fresh else 0
        intake.looked(mailbox_id, listing.looked_below, others)
        self._memory = intake.memory(mailbox_id)

    def _date(self, new: Sequence[ServerMail], memory: Memory) -> None:
        """A mail that came since the last look tells what the server's clock says."""
        if self._looked_at is None:
            return
        fresh = [mail.date for mail in new if int(mail.key) >= memory.looked_below and mail.date]
        if fresh:
            date = datetime.fromisoformat(fresh[-1])
            self._tools.evidence.dated(self._watched.receiving.host, date, self._looked_at)

    def _resettle(self, listed: Sequence[ServerMail], new: Sequence[ServerMail]) -> None:
        unknown = set(new)
        known = [mail for mail in listed if mail not in unknown]
        for start in range(0, len(known), KNOWN_BATCH):
            self._check()
            self._tools.intake.unsettled_again(self._watched.mailbox_id, known[start : start + KNOWN_BATCH])

    # ------------------------------------------------------------ receiving

    def _receive(self, session: Session, batch: Sequence[ServerMail], *, patient: bool) -> int:
        """Fetch mails and make them durable. What fails is remembered, so that no mail blocks the others for long."""
        self._check()
        try:
            fetched, received = self._fetch(session, batch)
        except Refused as error:  # of one of them
            self._suspects.failed(batch, str(error))
            alone = batch if len(batch) > 1 else ()
            return sum(self._receive(session, [mail], patient=patient) for mail in alone)
        except (StoreError, Stopped):
            raise
        except Exception as error:
            self._check()
            self._suspects.failed(batch, str(error))
            raise
        self._suspects.cleared(fetched)
        missing = [mail for mail in batch if mail not in set(fetched)]
        self.incomplete = self.incomplete or bool(missing)
        if missing and not patient:
            self._suspects.failed(missing, "the server lists it, but gives nothing")
        return received

    def _fetch(self, session: Session, batch: Sequence[ServerMail]) -> tuple[list[ServerMail], int]:
        log.debug("fetching", account=self._watched.name, count=len(batch))
        incoming = [one for fetched in session.fetch(batch) if (one := self._stage(fetched))]
        log.debug("fetched", account=self._watched.name, count=len(incoming))
        received = self._keep(incoming) if incoming else 0
        return [one.listed for one in incoming], received

    def _stage(self, fetched: Fetched) -> Incoming | None:
        self._check()
        try:
            raw = self._tools.blobs.stage(self._checked(fetched.pieces))
        except Vanished:
            return None
        log.debug("staged", account=self._watched.name, key=fetched.listed.key, size=raw.size)
        return Incoming(fetched.listed, raw, fetched.cut)

    def _checked(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:  # a large mail on a slow line moves, too
            self._check()
            yield piece

    def _keep(self, incoming: Sequence[Incoming]) -> int:
        self._check()
        watched = self._watched
        receipts = self._tools.intake.receive(
            watched.mailbox_id,
            watched.account.name,
            incoming,
            watched.methods,
            watched.snapshot_sha256,
            self._tools.clock(),
        )
        self._tools.bell.ring("received", watched.account.name)
        for one, receipt in zip(incoming, receipts, strict=True):
            word = "received" if receipt.new else "recognised"
            log.info(word, mail=receipt.mail_id, account=watched.name, size=one.raw.size)
        return len(receipts)

    # ------------------------------------------------------------ what cannot be fetched

    def _tell_of_suspects(self) -> None:
        self._check()
        if aside := self._suspects.aside():
            self._tools.problems.report(self._watched.set_aside(aside))
        else:
            self._tools.problems.clear(f"mails:{self._watched.name}")

    def _tell_of_unclear(self, count: int) -> None:
        """Mails that the server does not describe; those of one look alone were deleted meanwhile."""
        before, self._unclear = self._unclear, count
        if before and count:
            self._tools.problems.report(self._watched.not_described(count))
        elif not count:
            self._tools.problems.clear(f"unclear:{self._watched.name}")
