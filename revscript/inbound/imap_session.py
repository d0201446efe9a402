"""A selected IMAP folder: look, fetch, settle, and rest with IDLE meanwhile.

Only `BODY.PEEK[]` and UID commands: fetching changes nothing, and CLOSE (which expunges) is never used.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog

from revscript.config import Keyword
from revscript.errors import Unreachable
from revscript.inbound.doorbell import Doorbell
from revscript.inbound.imap_client import Client
from revscript.inbound.imap_errors import ServerSaysNo
from revscript.inbound.imap_settle import tell
from revscript.inbound.source import Fetched, Listing, Refused, Settlement, Vanished
from revscript.model import ServerMail
from revscript.net.cable import Cable

if TYPE_CHECKING:
    from revscript.inbound.imap import ImapSource

PART = 1 << 20  # bytes asked for at once: as fast as the whole mail, and 9 MB of memory instead of 3 × its size
HEAD_PART = 1 << 16  # bytes of header lines of a mail over the hard cap
LIST_BATCH = 500  # mails whose size and date are asked at once
MOST_REST = 240.0  # s without a command, after which servers and routers may have forgotten a connection
SLOWEST = 2048  # bytes/s that a server must deliver
MOST_SIZE = 1 << 62  # announced sizes are clipped to what the store can hold
AT_ONCE = 20  # announced mails that are looked at and fetched together …
AT_ONCE_BYTES = 1 << 16  # … if they are smaller than this
DATES_BATCH = 5000  # mails whose dates are asked at the first contact

log = structlog.get_logger()


class ImapSession:
    """A selected folder."""

    def __init__(self, source: ImapSource, cable: Cable) -> None:
        self._source = source
        self._cable = cable
        self._settled: list[Settlement] = []
        self._open()

    def _open(self) -> None:
        self._client, selected = self._source.open(self._cable)
        validity = _number(selected.get(b"UIDVALIDITY"))
        self._lasting = validity > 0 and b"UIDNOTSTICKY" not in selected
        # Without a UIDVALIDITY the numbers hold for one session (RFC 9051 §2.3.1.1): each is an epoch of its own.
        self._epoch = str(validity) if self._lasting else f"session {secrets.token_hex(8)}"
        self._next_uid = _number(selected.get(b"UIDNEXT"))
        self._below = self._next_uid  # mails with smaller UIDs were looked at
        flags: tuple[bytes, ...] | None = selected.get(b"PERMANENTFLAGS")
        self._permanent = None if flags is None else frozenset(flag.decode(errors="replace").lower() for flag in flags)
        self._looked = self._client.protocol.news
        self._read_looked = -1
        self._may_idle = self._source.settings.push and self._client.has_capability("IDLE")
        self._idle_since = self._used = time.monotonic()

    @property
    def pushes(self) -> bool:
        """Whether IDLE is wanted, offered and not refused."""
        return self._may_idle

    @property
    def has_news(self) -> bool:
        """Whether an EXISTS came since the last look began: with whatever answer, the server says it only once."""
        return self._client.protocol.news != self._looked

    @property
    def certificate_expires(self) -> datetime | None:
        """When the server's certificate ends."""
        return self._client.certificate_expires

    @contextmanager
    def _command(self, size: int = 0) -> Generator[Client]:
        """For one command, or a few small ones, that bring `size` bytes."""
        with self._source.command(self._client, size / SLOWEST):
            if self._client.is_idling:
                self._client.end_idle()
            yield self._client
        self._used = time.monotonic()

    def _wake_up(self) -> None:
        """A new connection instead of a doubtful one; while idling, the server's answer to DONE tells."""
        if not self._client.is_idling and time.monotonic() - self._used > MOST_REST:
            self.close()
            self._open()

    # ------------------------------------------------------------ resting

    def rest(self, doorbell: Doorbell, until: float) -> None:
        """IDLE where the server can, else just wait. Returns early to renew the IDLE, too."""
        if self.has_news:
            return
        if self._may_idle and not self._client.is_idling:
            self._start_idle()
        if not self._client.is_idling:
            doorbell.wait(until)
            return
        renew = self._idle_since + self._source.renew
        heard = self._listen()  # what came together with the go-ahead
        while not heard and time.monotonic() < min(until, renew):
            if not doorbell.wait(min(until, renew), self._client.protocol.sock):
                break
            heard = self._listen()
        if not heard and time.monotonic() >= renew:
            with self._command():
                pass

    def _start_idle(self) -> None:
        try:
            with self._command() as client:
                client.start_idle()
            self._idle_since = time.monotonic()
        except (ServerSaysNo, Refused) as error:
            self._may_idle = False
            log.warning("the server offers IDLE and refuses it", server=self._source.server, why=str(error))

    def _listen(self) -> bool:
        with self._source.command(self._client):
            self._client.listen()
        return self.has_news

    # ------------------------------------------------------------ looking

    @property
    def _candidates(self) -> str:
        settings = self._source.settings
        what = "UNDELETED" if settings.include_read else "UNSEEN UNDELETED"
        return f"{what} UNKEYWORD {settings.after.keyword}" if isinstance(settings.after, Keyword) else what

    def list(self, read_since: int | None = None) -> Listing:
        """Unread mails (all with `include_read`), oldest first, with size and date."""
        self._wake_up()
        read: list[int] = []
        with self._command() as client:
            client.noop()  # some servers search only what they have announced
            self._looked = client.protocol.news
            uids = client.uids(self._candidates)
            if read_since is not None and self._read_looked != self._looked:  # none came, none can have been read
                read = [uid for uid in client.uids(f"UID {max(1, read_since)}:* SEEN") if uid >= read_since]
                self._read_looked = self._looked
        mails = tuple(self._describe(uids))
        if self._below:
            self._below = max(self._below, max(uids + read, default=0) + 1)
        next_key = self._next_uid or max(uids, default=0) + 1
        unclear = len(uids) - len(mails)
        return Listing(self._epoch, next_key, mails, unclear, tuple(map(str, read)), self._lasting)

    def newest_date(self) -> str:
        """The newest INTERNALDATE of all mails; in UTC, so that dates can be compared as text."""
        with self._command() as client:
            uids = client.uids("ALL")
        newest = ""
        for start in range(0, len(uids), DATES_BATCH):
            with self._command() as client:
                answer = client.items(uids[start : start + DATES_BATCH], ["INTERNALDATE"])
            newest = max(newest, *(_date(said.get(b"INTERNALDATE")) for said in answer.values()), "")
        return newest

    def announced(self) -> Sequence[Fetched]:
        """One FETCH with flags, size, date and body of the mails that came after the last look.

        Only small unread mails whose answer is complete, and from the first on without a gap: all else is for `list`.
        Sequence numbers tell whether there are more: the last one is that of the last EXISTS.
        """
        if not self._below:  # no UIDNEXT
            return []
        first, last = self._below, self._below + AT_ONCE - 1
        items = ["FLAGS", "RFC822.SIZE", "INTERNALDATE", f"BODY.PEEK[]<0.{AT_ONCE_BYTES}>"]
        with self._command(AT_ONCE * AT_ONCE_BYTES) as client:
            protocol, looked = client.protocol, client.protocol.news
            answer = client.items(range(first, last + 1), items)
        fetched: list[Fetched] = []
        found = sorted(uid for uid in answer if first <= uid <= last)
        for uid in found:
            one = self._whole(uid, answer[uid])
            if one is None:
                return fetched
            fetched.append(one)
            self._below = uid + 1
        if found and answer[found[-1]].get(b"SEQ") == protocol.exists:
            self._looked = looked
        return fetched

    def _whole(self, uid: int, said: dict[bytes, Any]) -> Fetched | None:
        """A mail of which everything is there, and that is to be received."""
        size, body, flags = said.get(b"RFC822.SIZE"), said.get(b"BODY[]<0>"), said.get(b"FLAGS")
        if not isinstance(size, int) or not isinstance(body, bytes) or not isinstance(flags, tuple):
            return None
        if not 0 < len(body) < AT_ONCE_BYTES or size >= AT_ONCE_BYTES:
            return None
        if {str(flag, "ascii", "replace").lower() for flag in flags} & self._unwanted:  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
            return None
        listed = ServerMail(self._epoch, str(uid), _number(size), _date(said.get(b"INTERNALDATE")))
        return Fetched(listed, iter([body]), cut=False)

    @property
    def _unwanted(self) -> set[str]:
        """Flags that keep a mail from being a candidate, as `_candidates` says it to SEARCH."""
        settings = self._source.settings
        flags = {"\\deleted"} if settings.include_read else {"\\deleted", "\\seen"}
        return flags | {settings.after.keyword.lower()} if isinstance(settings.after, Keyword) else flags

    def _describe(self, uids: Sequence[int]) -> Iterator[ServerMail]:
        for start in range(0, len(uids), LIST_BATCH):
            batch = uids[start : start + LIST_BATCH]
            answer = self._sizes(batch)
            for uid in batch:
                # Without a size it is an answer to something else (RFC 9051 §7.5.2: FETCH may come unasked), and a mail
                # that is gone has none. Never guessed: the size belongs to the mail's identity.
                said = answer.get(uid, {})
                if b"RFC822.SIZE" in said:
                    date = _date(said.get(b"INTERNALDATE"))
                    yield ServerMail(self._epoch, str(uid), _number(said[b"RFC822.SIZE"]), date)

    def _sizes(self, uids: Sequence[int]) -> dict[int, dict[bytes, Any]]:
        """Size and date of mails; one that the server chokes on does not hide the others."""
        try:
            with self._command() as client:
                return client.items(uids, ["RFC822.SIZE", "INTERNALDATE"])
        except Refused:
            if len(uids) == 1:
                return {}
        found: dict[int, dict[bytes, Any]] = {}
        for uid in uids:
            found |= self._sizes([uid])
        return found

    def fetch(self, mails: Sequence[ServerMail]) -> Iterator[Fetched]:
        """Small mails together in one command, large ones in parts."""
        small = [mail for mail in mails if mail.size < PART]
        first = self._first_parts(small) if small else {}
        for mail in mails:
            head = first.get(mail.key, b"")
            if mail in small and len(head) < PART:
                if head:  # never an empty mail: it is gone, or was announced before it is there
                    yield Fetched(mail, iter([head]), cut=False)
            else:  # large, or larger than announced
                yield from self._fetch_large(mail)

    def _first_parts(self, mails: Sequence[ServerMail]) -> dict[str, bytes]:
        uids = [int(mail.key) for mail in mails]
        with self._command(len(mails) * PART) as client:
            answer = client.items(uids, [f"BODY.PEEK[]<0.{PART}>"])
        return {str(uid): answer[uid].get(b"BODY[]<0>") or b"" for uid in answer}

    def _fetch_large(self, mail: ServerMail) -> Iterator[Fetched]:
        # Announced sizes are not exact everywhere: the mail itself is asked whether it goes beyond the cap.
        try:
            cut = bool(self._part(mail, "BODY.PEEK[]", self._source.hard_cap, 1))
            if cut:
                first = self._part(mail, "BODY.PEEK[HEADER]", 0, HEAD_PART)
            else:
                first = self._part(mail, "BODY.PEEK[]", 0, PART)
        except Vanished:
            return
        if first:
            yield Fetched(mail, iter([first]) if cut else self._rest(mail, first), cut)

    def _rest(self, mail: ServerMail, part: bytes) -> Iterator[bytes]:
        offset = 0
        while part:
            yield part
            offset += len(part)
            if offset > self._source.hard_cap + PART:
                raise Unreachable(f"The mail with UID {mail.key} is far larger than its server says.")
            if len(part) < PART and offset >= mail.size:  # a server may give less than was asked for
                return
            part = self._part(mail, "BODY.PEEK[]", offset, PART)

    def _part(self, mail: ServerMail, item: str, offset: int, size: int) -> bytes:
        """Some bytes of a mail; empty behind its end. Vanished when it is gone."""
        uid = int(mail.key)
        with self._command(size) as client:
            answer = client.items([uid], [f"{item}<{offset}.{size}>"]).get(uid, {})
        name = f"{item.replace('.PEEK', '')}<{offset}>".encode()
        if name not in answer:
            raise Vanished(f"The mail with UID {uid} was deleted while it was fetched.")
        return answer[name] or b""  # NIL and nothing are the same

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Flags, deletions and moves, each kind in one command; only in the folder in which the mails were listed."""
        self._wake_up()
        ours = [one for one in settlements if one.listed.epoch == self._epoch]
        for what in sorted({one.what for one in ours}):
            asked = [one for one in ours if one.what == what]
            if what != "none":
                with self._command() as client:
                    tell(client, what, [int(one.listed.key) for one in asked], self._permanent)
            self._settled += asked

    def end_round(self) -> Sequence[Settlement]:
        """All that was asked for: IMAP does it at once."""
        settled, self._settled = self._settled, []
        return settled

    def close(self) -> None:
        """Close the socket; a LOGOUT could wait for a dead server."""
        self._client.close()


def _number(value: Any) -> int:
    return min(max(value, 0), MOST_SIZE) if isinstance(value, int) else 0


def _date(value: Any) -> str:
    """In UTC: the date belongs to a mail's identity, and a server may say the same instant in another zone tomorrow."""
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else ""
