"""Looking and fetching: which mails, in which order, byte for byte."""

from __future__ import annotations

from revscript.inbound.imap import ImapSource
from revscript.inbound.imap_session import PART
from tests.inbound.mailboxes import MB, bodies, imap
from tests.servers.dovecot import Dovecot
from tests.servers.mails import plain_mail


def source(dovecot: Dovecot, user: str, **more: object) -> ImapSource:
    return imap(dovecot.imap, user, ca_file=dovecot.ca_pem, **more)  # pyright: ignore[reportArgumentType]


def test_unread_mails_oldest_first(dovecot: Dovecot, mailbox_user: str) -> None:
    dovecot.deliver_many(mailbox_user, (plain_mail(i, 1000 + i) for i in range(12)))
    with dovecot.imap_client(mailbox_user) as client:
        client.select_folder("INBOX")
        client.add_flags([3], [b"\\Seen"])
        client.add_flags([4], [b"\\Deleted"])
    session = source(dovecot, mailbox_user).connect()
    listing = session.list()
    session.close()
    assert [one.key for one in listing.mails] == ["1", "2", "5", "6", "7", "8", "9", "10", "11", "12"]
    assert [one.size for one in listing.mails][:3] == [1000, 1001, 1004]
    assert listing.epoch == str(dovecot.uidvalidity(mailbox_user))
    assert listing.next_key == 13
    assert all(one.date.endswith("+00:00") for one in listing.mails)


def test_read_mails_only_if_wanted(dovecot: Dovecot, mailbox_user: str) -> None:
    dovecot.deliver_many(mailbox_user, (plain_mail(i) for i in range(3)))
    with dovecot.imap_client(mailbox_user) as client:
        client.select_folder("INBOX")
        client.add_flags([1], [b"\\Seen"])
        client.add_flags([2], [b"\\Deleted"])
    assert bodies(source(dovecot, mailbox_user)) == [plain_mail(2)]
    assert bodies(source(dovecot, mailbox_user, include_read=True)) == [plain_mail(0), plain_mail(2)]


def test_fetching_changes_nothing(dovecot: Dovecot, mailbox_user: str) -> None:
    raws = [plain_mail(1), plain_mail(2, 3 * MB), plain_mail(3, 20_000)]
    dovecot.deliver_many(mailbox_user, raws)
    assert bodies(source(dovecot, mailbox_user)) == raws
    assert set(map(frozenset, dovecot.flags(mailbox_user).values())) == {frozenset()}


def test_parts_of_exactly_one_part(dovecot: Dovecot, mailbox_user: str) -> None:
    raws = [plain_mail(i, size) for i, size in enumerate((PART - 1, PART, PART + 1, 2 * PART))]
    dovecot.deliver_many(mailbox_user, raws)
    fetched = bodies(source(dovecot, mailbox_user))
    assert [len(raw) for raw in fetched] == [len(raw) for raw in raws]
    assert fetched == raws


def test_mails_that_are_gone_meanwhile_are_left_out(dovecot: Dovecot, mailbox_user: str) -> None:
    dovecot.deliver_many(mailbox_user, [plain_mail(1), plain_mail(2), plain_mail(3, 2 * MB), plain_mail(4)])
    session = source(dovecot, mailbox_user).connect()
    mails = session.list().mails
    with dovecot.imap_client(mailbox_user) as client:
        client.select_folder("INBOX")
        client.delete_messages([2, 3])
        client.expunge()
    assert list(session.fetch([mails[2]])) == []
    assert [one.listed.key for one in session.fetch([mails[0], mails[1], mails[3]])] == ["1", "4"]
    assert list(session.fetch([mails[1]])) == []
    session.close()


def test_over_the_hard_cap_only_the_head(dovecot: Dovecot, mailbox_user: str) -> None:
    cap = 2 * MB
    dovecot.deliver_many(mailbox_user, [plain_mail(1, cap), plain_mail(2, cap + 1), plain_mail(3)])
    session = source(dovecot, mailbox_user, hard_cap=cap).connect()
    fetched = [(one.cut, b"".join(one.pieces)) for one in session.fetch(session.list().mails)]
    session.close()
    assert [cut for cut, _ in fetched] == [False, True, False]
    assert fetched[0][1] == plain_mail(1, cap)
    assert fetched[1][1] == plain_mail(2).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


def test_a_rested_connection_is_made_anew(dovecot: Dovecot, mailbox_user: str) -> None:
    dovecot.deliver(mailbox_user, plain_mail(1))
    session = source(dovecot, mailbox_user).connect()
    dovecot.doveadm("kick", mailbox_user)  # what a server does with a client that is silent for long
    session._used -= 1000
    assert len(session.list().mails) == 1
    session.close()
