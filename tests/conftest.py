"""The servers of `tests/servers` as fixtures: one Dovecot for all tests of a worker."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from tests.servers.ca import CertificateAuthority
from tests.servers.dovecot import MISSING, Dovecot, installed
from tests.servers.smtp_sink import SmtpSink


@pytest.fixture(scope="session")
def ca() -> CertificateAuthority:
    """The authority that issued the certificates of all test servers."""
    return CertificateAuthority()


@pytest.fixture(scope="session")
def dovecot(ca: CertificateAuthority) -> Iterator[Dovecot]:
    """A running IMAP, POP3 and LMTP server; never skipped, since it is what the product is for."""
    if not installed():
        pytest.fail(MISSING, pytrace=False)
    with Dovecot(ca) as server:
        yield server


@pytest.fixture
def mailbox_user() -> str:
    """The name of a user whose mailbox is still empty."""
    return f"user-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def smtp_sink(ca: CertificateAuthority) -> Iterator[SmtpSink]:
    """An SMTP server in clear text that keeps the mails it gets."""
    with SmtpSink(ca) as sink:
        yield sink
