"""A selected IMAP folder: look, fetch, settle.

Only `BODY.PEEK[]` and UID commands: fetching changes nothing, and CLOSE (which expunges) is never used.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from imapclient import DELETED, SEEN

from revscript.errors import Unreachable
from revscript.inbound.imap_client import Client
from revscript.inbound.imap_errors import ServerSaysNo, means_trouble, text_of
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


class ImapSession:
    """A selected folder."""

    def __init__(self, source: ImapSource, cable: Cable) -> None:
        self._source = source
        self._cable = cable
        self._settled: list[Settlement] = []
        self._open()

    def _open(self) -> None:
        self._client, selected = self._source.open(self._cable)
        self._epoch = str(selected.get(b"UIDVALIDITY", 0))
        self._next_uid = _number(selected.get(b"UIDNEXT"))
        self._used = time.monotonic()

    @contextmanager
    def _command(self, size: int = 0) -> Generator[Client]:
        """For one command, or a few small ones, that bring `size` bytes."""
        with self._source.command(self._cable, size / SLOWEST):
            yield self._client
        self._used = time.monotonic()

    def _wake_up(self) -> None:
        """A new connection instead of a doubtful one."""
        if time.monotonic() - self._used > MOST_REST:
            self.close()
            self._open()

    def list(self) -> Listing:
        """Unread mails (all with `include_read`), oldest first, with size and date."""
        self._wake_up()
        what = "UNDELETED" if self._source.settings.include_read else "UNSEEN UNDELETED"
        with self._command() as client:
            client.noop()  # some servers search only what they have announced
            uids = client.uids(what)
        mails = tuple(self._describe(uids))
        unclear = len(uids) - len(mails)
        return Listing(self._epoch, self._next_uid or max(uids, default=0) + 1, mails, unclear)

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
                with self._command(), _refusal_is_ours(self._client, what):
                    self._tell(what, [int(one.listed.key) for one in asked])
            self._settled += asked

    def _tell(self, what: str, uids: list[int]) -> None:
        word, _, folder = what.partition(":")
        if word == "seen":
            self._client.add_flags(uids, [SEEN], silent=True)
        elif word == "delete":
            self._delete(uids)
        elif word == "move":
            self._move(uids, folder)

    def _delete(self, uids: list[int]) -> None:
        self._client.add_flags(uids, [DELETED], silent=True)
        if self._client.has_capability("UIDPLUS"):
            self._client.uid_expunge(uids)
        elif set(self._client.uids("DELETED")) <= set(uids):  # EXPUNGE would take other people's along
            self._client.expunge()

    def _move(self, uids: list[int], folder: str) -> None:
        left = self._client.uids(f"UNDELETED UID {','.join(map(str, uids))}")
        if not left:  # all moved by an earlier try
            return
        if not self._client.folder_exists(folder):
            self._client.create_folder(folder)
            self._client.subscribe_folder(folder)  # mail programs show only such
        if self._client.has_capability("MOVE"):
            self._client.move(left, folder)
        else:
            self._client.copy(left, folder)
            self._delete(left)

    def end_round(self) -> Sequence[Settlement]:
        """All that was asked for: IMAP does it at once."""
        settled, self._settled = self._settled, []
        return settled

    def close(self) -> None:
        """Close the socket; a LOGOUT could wait for a dead server."""
        self._client.close()


@contextmanager
def _refusal_is_ours(client: Client, what: str) -> Generator[None]:
    """A NO to a settlement, with the way out."""
    try:
        yield
    except ServerSaysNo as error:
        if means_trouble(text := text_of(error)):
            raise
        hint = "Check the account's rights in this mailbox."
        if what.startswith("move:"):
            hint = f'Check "after" in the account file. There are the folders: {client.folder_names()}'
        raise Refused(f"The server does not do {what!r} with processed mails: {text}", hint=hint) from error


def _number(value: Any) -> int:
    return min(max(value, 0), MOST_SIZE) if isinstance(value, int) else 0


def _date(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else ""
