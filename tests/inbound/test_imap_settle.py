"""Telling the server: seen, delete, move, none; again and again, and never other people's mails."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from revscript.inbound.imap_session import ImapSession
from revscript.inbound.source import Refused, Settlement
from revscript.model import ServerMail
from tests.inbound.mailboxes import imap
from tests.servers.dovecot import Dovecot
from tests.servers.fault_proxy import FaultProxy
from tests.servers.mails import plain_mail

SEEN, DELETED = "\\Seen", "\\Deleted"


@contextmanager
def session_of(dovecot: Dovecot, user: str, without: bytes = b"") -> Generator[ImapSession]:
    """A session on four mails; of the server's abilities some may be hidden, in clear text to this machine."""
    with FaultProxy(dovecot.host, dovecot.imap) as proxy:
        proxy.rewrite("down", b"STARTTLS|" + without if without else b"STARTTLS", b"X")
        session = imap(proxy.port, user).connect()
        try:
            yield session
        finally:
            session.close()


@pytest.fixture
def user(dovecot: Dovecot, mailbox_user: str) -> str:
    """Of four mails the third is somebody else's, who has flagged it \\Deleted."""
    dovecot.deliver_many(mailbox_user, (plain_mail(i) for i in range(4)))
    with dovecot.imap_client(mailbox_user) as client:
        client.select_folder("INBOX")
        client.add_flags([3], [DELETED.encode()])
    return mailbox_user


def settlements(session: ImapSession, what: str, *uids: int) -> list[Settlement]:
    epoch = session.list().epoch
    return [Settlement(uid, ServerMail(epoch, str(uid), 1), what) for uid in uids]


def settle(session: ImapSession, what: str, *uids: int) -> list[int]:
    session.settle(settlements(session, what, *uids))
    return [one.mail_id for one in session.end_round()]


def test_seen(dovecot: Dovecot, user: str) -> None:
    with session_of(dovecot, user) as session:
        assert settle(session, "seen", 1, 2) == [1, 2]
        assert settle(session, "seen", 1, 2) == [1, 2]  # repeating does no harm
        assert session.end_round() == []
    assert dovecot.flags(user) == {1: {SEEN}, 2: {SEEN}, 3: {DELETED}, 4: set()}


def test_none(dovecot: Dovecot, user: str) -> None:
    with session_of(dovecot, user) as session:
        assert settle(session, "none", 1, 2) == [1, 2]
    assert dovecot.flags(user) == {1: set(), 2: set(), 3: {DELETED}, 4: set()}


def test_delete(dovecot: Dovecot, user: str) -> None:
    with session_of(dovecot, user) as session:
        for _ in range(2):
            assert settle(session, "delete", 1, 2) == [1, 2]
    assert dovecot.flags(user) == {3: {DELETED}, 4: set()}


def test_delete_without_uidplus_spares_other_peoples(dovecot: Dovecot, user: str) -> None:
    with session_of(dovecot, user, b"UIDPLUS") as session:
        settle(session, "delete", 1)
        assert dovecot.flags(user) == {1: {DELETED}, 2: set(), 3: {DELETED}, 4: set()}
        assert [one.key for one in session.list().mails] == ["2", "4"]
        with dovecot.imap_client(user) as client:
            client.select_folder("INBOX")
            client.remove_flags([3], [DELETED.encode()])
        settle(session, "delete", 1, 2)
    assert dovecot.flags(user) == {3: set(), 4: set()}


@pytest.mark.parametrize("without", [b"", b"MOVE", b"MOVE|UIDPLUS"])
def test_move(dovecot: Dovecot, user: str, without: bytes) -> None:
    with session_of(dovecot, user, without) as session:
        for _ in range(2):
            assert settle(session, "move:Erledigt & Prüfung", 1, 2) == [1, 2]
        assert settle(session, "move:Erledigt & Prüfung", 4) == [4]
    assert dovecot.count(user, "Erledigt & Prüfung") == 3
    left = dovecot.flags(user)
    assert left.pop(3) == {DELETED}
    assert all(flags == {DELETED} for flags in left.values())
    assert bool(left) == (b"UIDPLUS" in without)  # the foreign one keeps EXPUNGE from being used


def test_the_folder_made_for_moved_mails_is_subscribed(dovecot: Dovecot, user: str) -> None:
    with session_of(dovecot, user) as session:
        settle(session, "move:Erledigt", 1)
    with dovecot.imap_client(user) as client:
        assert client.list_sub_folders("", "Erledigt")


def test_a_refused_folder_names_the_others(dovecot: Dovecot, user: str) -> None:
    with session_of(dovecot, user) as session:
        with pytest.raises(Refused, match="move:Er/ledigt") as caught:
            settle(session, "move:Er/ledigt", 1)
        assert "INBOX" in caught.value.hint
        assert settle(session, "seen", 1) == [1]  # the connection is as good as before
    assert dovecot.count(user) == 4


def test_what_came_true_before_a_refusal_is_known(dovecot: Dovecot, user: str) -> None:
    with session_of(dovecot, user) as session:
        both = settlements(session, "delete", 1) + settlements(session, "move:Er/ledigt", 2)
        with pytest.raises(Refused):
            session.settle(both)
        assert [one.mail_id for one in session.end_round()] == [1]


def test_mails_of_another_epoch_are_not_touched(dovecot: Dovecot, user: str) -> None:
    with session_of(dovecot, user) as session:
        old = [replace(one, listed=replace(one.listed, epoch="1")) for one in settlements(session, "delete", 1, 2)]
        session.settle(old)
        assert session.end_round() == []
    assert dovecot.count(user) == 4
