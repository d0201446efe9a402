"""Servers that can little: no extensions, no keywords, no lasting numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.inbound.mailboxes import PUSH, SOON, Make, imap, looked, watching
from tests.inbound.scripted import ScriptedImap
from tests.servers.ca import CertificateAuthority
from tests.servers.dovecot import Dovecot
from tests.servers.mails import plain_mail

SEEN_FLAG = [b"\\Seen"]


# ------------------------------------------------------------ keywords


def test_a_keyword_marks_what_is_done(dovecot: Dovecot, mailbox_user: str, source: Make, tmp_path: Path) -> None:
    dovecot.deliver_many(mailbox_user, (plain_mail(i) for i in range(3)))
    with dovecot.imap_client(mailbox_user) as client:
        client.select_folder("INBOX")
        client.add_flags([3], [b"$Erledigt"])  # somebody else's work
    with watching(tmp_path, source(after={"keyword": "$Erledigt"}, push=True, interval=60)) as station:
        station.wait(2)
        station.finish()
        station.wait(2, "settled_by = 'keyword:$Erledigt'")
        dovecot.deliver(mailbox_user, plain_mail(9))
        station.wait(3)
        assert station.count() == 3
    assert dovecot.flags(mailbox_user) == {1: {"$Erledigt"}, 2: {"$Erledigt"}, 3: {"$Erledigt"}, 4: set()}


def test_a_keyword_that_the_server_does_not_keep(tmp_path: Path) -> None:
    says = {
        "SELECT": b"* 1 EXISTS\r\n* OK [UIDVALIDITY 7] ok\r\n* OK [UIDNEXT 10] ok\r\n"
        b"* OK [PERMANENTFLAGS (\\Seen \\Deleted $Known)] limited\r\n",
        "FETCH": b'* 1 FETCH (UID 1 RFC822.SIZE 5 INTERNALDATE "24-Nov-2026 10:00:00 +0100" '
        b"BODY[]<0> {5}\r\nmail1)\r\n",
    }
    with ScriptedImap(says) as server:
        source = imap(server.port, after={"keyword": "$Erledigt"}, interval=SOON)
        with watching(tmp_path, source) as station:
            station.wait(1)
            station.finish()
            problem = station.wait_problem("settle")
            assert "$Erledigt" in problem.what
            assert station.problem() is None
            assert station.count("settle = 'waiting'") == 1
            assert server.count("UNKEYWORD $Erledigt") > 0
        (tmp_path / "known").mkdir()
        with watching(tmp_path / "known", imap(server.port, after={"keyword": "$known"}, interval=SOON)) as station:
            station.wait(1)
            station.finish()
            station.wait(1, "settle = 'settled'")
    assert server.count("STORE") == server.count("STORE 1 +FLAGS.SILENT ($known)") == 1


# ------------------------------------------------------------ servers that can little


@pytest.fixture(scope="module")
def bare(ca: CertificateAuthority) -> Any:
    """A server without IDLE, UIDPLUS and MOVE."""
    with Dovecot(ca, extra="imap_capability = IMAP4rev1 SASL-IR LITERAL+\n") as server:
        yield server


@pytest.mark.parametrize("after", ["seen", "delete", {"move": "Erledigt"}])
def test_a_server_without_extensions(bare: Dovecot, mailbox_user: str, tmp_path: Path, after: Any) -> None:
    raws = [plain_mail(i) for i in range(5)]
    bare.deliver_many(mailbox_user, raws[:3])
    source = imap(bare.imap, mailbox_user, ca_file=bare.ca_pem, push=True, interval=SOON, after=after)
    with watching(tmp_path, source) as station:
        station.wait(3)
        bare.deliver_many(mailbox_user, raws[3:])
        station.wait(5)
        assert station.row()["mode"] == "poll"
        station.finish()
        station.wait(5, "settle = 'settled'")
        assert station.received() == raws
        assert not station.problems.keys
    assert bare.count(mailbox_user) == (5 if after == "seen" else 0)
    assert bare.count(mailbox_user, "Erledigt") == (5 if isinstance(after, dict) else 0)


@pytest.mark.parametrize(
    "code", [b"", b"* OK [UIDVALIDITY 0] none\r\n", b"* OK [UIDVALIDITY 7] x\r\n* NO [UIDNOTSTICKY] x\r\n"]
)
def test_without_lasting_numbers_the_content_tells_which_mail_is_known(tmp_path: Path, code: bytes) -> None:
    """The mails get other numbers with each connection; two of the three are the same, byte for byte."""
    mails = {3: b"mail1", 4: b"mail2", 6: b"mail1"}

    def fetch(command: str) -> bytes:
        uids = [int(uid) for uid in command.split(" ")[2].split(",")]
        return b"".join(
            b'* 1 FETCH (UID %d RFC822.SIZE 5 INTERNALDATE "24-Nov-2026 10:00:00 +0100" BODY[]<0> {5}\r\n%s)\r\n'
            % (uid, mails[uid])
            for uid in uids
            if uid in mails
        )

    def search(_: str) -> bytes:
        return b"* SEARCH " + b" ".join(b"%d" % uid for uid in mails) + b"\r\n"

    says = {"SELECT": b"* 3 EXISTS\r\n" + code, "SEARCH": search, "FETCH": fetch}
    with ScriptedImap(says) as server:
        source = imap(server.port, interval=SOON)
        with watching(tmp_path, source) as station:
            station.wait(3)
            assert "UIDVALIDITY" in station.wait_problem("unnumbered").what
        for _ in range(3):
            mails = {uid + 10: raw for uid, raw in mails.items()}
            with watching(tmp_path, source) as station:
                looked(station)
                assert station.received() == [b"mail1", b"mail2", b"mail1"]
                assert station.problem("renumbered") is None
        mails[max(mails) + 1] = b"mail3"
        with watching(tmp_path, source, push=PUSH) as station:
            station.wait(4)
            station.finish()
            station.wait(4, "settle = 'settled'")
            assert station.count() == 4
