"""A server that lies, talks nonsense, or too much: it harms its own mailbox only, and says so."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager

import pytest

from revscript.errors import SourceError, Unreachable
from revscript.inbound import imap_protocol
from revscript.inbound.imap_session import PART, ImapSession
from revscript.inbound.source import Refused, Vanished
from revscript.model import ServerMail
from tests.inbound.mailboxes import MB, imap
from tests.inbound.scripted import Answer, ScriptedImap, listing
from tests.servers import HOST
from tests.servers.fault_proxy import FaultProxy

MAIL = ServerMail("7", "1", 5)


@contextmanager
def scripted(says: Mapping[str, Answer], timeout: float = 5.0, hard_cap: int = 10 * MB) -> Generator[ImapSession]:
    with ScriptedImap(says) as server:
        session = imap(server.port, timeout=timeout, hard_cap=hard_cap).connect()
        try:
            yield session
        finally:
            session.close()


def test_the_scripted_server_works() -> None:
    with scripted({"FETCH": listing()}) as session:
        assert session.list().mails == (ServerMail("7", "1", 5, "2026-11-24T09:00:00+00:00"),)


@pytest.mark.parametrize(
    ("answer", "date"), [(b'"24-Xxx-2026 10:00:00 +0100"', ""), (b"NIL", ""), (b'" 4-Nov-2026 10:00:00 +0000"', "2026")]
)
def test_dates_that_are_none(answer: bytes, date: str) -> None:
    with scripted({"FETCH": b"* 1 FETCH (UID 1 RFC822.SIZE 5 INTERNALDATE " + answer + b")\r\n"}) as session:
        (mail,) = session.list().mails
    assert mail.date[:4] == date


def test_a_uid_that_is_listed_twice_is_one_mail() -> None:
    with scripted({"SEARCH": b"* SEARCH 1 1\r\n", "FETCH": listing()}) as session:
        assert len(session.list().mails) == 1


def test_an_empty_mailbox() -> None:
    with scripted({"SEARCH": b"* SEARCH\r\n"}) as session:
        assert session.list().mails == ()


def test_flags_that_come_unasked_are_no_mail() -> None:
    with scripted({"FETCH": b"* 1 FETCH (FLAGS (\\Seen))\r\n"}) as session:
        assert session.list().mails == ()


def test_without_uidvalidity_and_uidnext() -> None:
    with scripted({"SELECT": b"* 1 EXISTS\r\n", "FETCH": listing()}) as session:
        listed = session.list()
    assert listed.epoch.startswith("session ")  # its numbers hold for this session only
    assert (listed.lasting, listed.next_key) == (False, 2)


def test_a_monstrous_size_is_clipped() -> None:
    with scripted({"FETCH": listing(10**30)}) as session:
        assert session.list().mails[0].size == 1 << 62


@pytest.mark.parametrize("answer", [b"", b'* 1 FETCH (UID 1 BODY[]<0> "")\r\n', b"* 1 FETCH (UID 1 BODY[]<0> NIL)\r\n"])
@pytest.mark.parametrize("size", [5, 2 * MB])
def test_never_an_empty_mail(answer: bytes, size: int) -> None:
    with scripted({"FETCH": answer}) as session:
        assert list(session.fetch([ServerMail("7", "1", size)])) == []


def served(raw: bytes, most: int = 1 << 30, gone_at: int = 1 << 30) -> Callable[[str], bytes]:
    """FETCH of a mail by parts of at most `most` bytes; from `gone_at` on it is deleted."""

    def answer(command: str) -> bytes:
        offset, size = map(int, command.rpartition("<")[2].rstrip(">)").split("."))
        if offset >= gone_at:
            return b""
        part = raw[offset : offset + min(size, most)]
        return b"* 1 FETCH (UID 1 BODY[]<%d> {%d}\r\n%s)\r\n" % (offset, len(part), part)

    return answer


def test_larger_than_announced() -> None:
    raw = bytes(range(256)) * 10_000
    with scripted({"FETCH": served(raw)}) as session:
        (one,) = session.fetch([MAIL])
        assert b"".join(one.pieces) == raw


def test_smaller_parts_than_asked_for() -> None:
    raw = bytes(range(256)) * 10_000
    with scripted({"FETCH": served(raw, most=300_000)}) as session:
        (one,) = session.fetch([ServerMail("7", "1", len(raw))])
        assert b"".join(one.pieces) == raw


def test_deleted_while_it_is_fetched() -> None:
    raw = b"x" * (3 * PART)
    cap = 10 * MB
    probe = served(raw)
    gone = served(raw, gone_at=PART)
    with scripted({"FETCH": lambda line: (probe if f"<{cap}." in line else gone)(line)}) as session:
        (one,) = session.fetch([ServerMail("7", "1", len(raw))])
        assert len(next(one.pieces)) == PART
        with pytest.raises(Vanished):
            next(one.pieces)


def test_a_mail_without_an_end() -> None:
    def endless(line: str) -> bytes:
        offset, size = map(int, line.rpartition("<")[2].rstrip(">)").split("."))
        part = b"" if size == 1 else b"x" * size  # denies what lies beyond the cap, and sends on
        return b"* 1 FETCH (UID 1 BODY[]<%d> {%d}\r\n%s)\r\n" % (offset, len(part), part)

    with scripted({"FETCH": endless}, hard_cap=2 * MB) as session:
        (one,) = session.fetch([MAIL])
        with pytest.raises(Unreachable, match="far larger"):
            list(one.pieces)


@pytest.mark.parametrize(
    "answer",
    [
        b"* 1 FETCH (UID 1 RFC822.SIZE " + b"(" * 5000 + b")" * 5000 + b")\r\n",  # RecursionError
        b"* 1 FETCH (UID 1 BODY[] {1000000000000}\r\n",  # MemoryError
        b"* 1 FETCH (UID 1 BODY[] {300000000}\r\nx",  # more than was asked for
        b'* 1 FETCH (UID 1 BODY[] "x\r\n',
        b"* 1 FETCH (UID x RFC822.SIZE 5)\r\n",
        b"* 1 FETCH 7\r\n",
        b"* 1 FETCH ()))\r\n",
        b"nonsense\r\n",
        b"\x00\xff\r\n",
        b"%t OK\r\n",
        b"%t BAD what\r\n",
        b"* BYE autologout\r\n",
    ],
)
def test_answers_that_cannot_be_used(answer: bytes) -> None:
    with scripted({"FETCH": answer}) as session, pytest.raises(SourceError) as caught:
        session.list()
    assert isinstance(caught.value, Unreachable)
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


def test_more_than_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imap_protocol, "MOST_BYTES", 1 << 20)
    with scripted({"SEARCH": b"* OK still here\r\n" * 100_000}) as session, pytest.raises(Unreachable, match="MiB"):
        session.list()


def test_a_search_of_many_mails_is_one_long_line() -> None:
    line = b"* SEARCH " + b" ".join(b"%d" % uid for uid in range(1_000_000, 1_200_000)) + b"\r\n"
    with scripted({"SEARCH": line, "FETCH": b""}) as session:
        assert session.list().mails == ()


def test_a_server_that_trickles_meets_a_deadline() -> None:
    with ScriptedImap({"SEARCH": b"* OK be patient\r\n" * 500}) as server, FaultProxy(HOST, server.port) as proxy:
        session = imap(proxy.port, timeout=0.1).connect()
        proxy.rate("down", 2000)  # always a byte within the time-out
        started = time.monotonic()
        with pytest.raises(Unreachable, match="in time"):
            session.list()
        assert 0.3 < time.monotonic() - started < 2
        session.close()


def test_no_to_a_mail_is_not_the_end() -> None:
    with scripted({"FETCH": b"%t NO cannot be converted\r\n"}) as session:
        with pytest.raises(Refused, match="cannot be converted"):
            list(session.fetch([MAIL]))
        session._client.noop()


@pytest.mark.parametrize("greeting", [b"", b"* BYE full\r\n", b"220 smtp.example\r\n", b"* NO\r\n", b"\x16\x03\x01"])
def test_greetings(greeting: bytes) -> None:
    with ScriptedImap(greeting=greeting) as server, pytest.raises(Unreachable):
        imap(server.port, timeout=0.2).connect()
