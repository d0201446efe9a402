"""What the tests of several files begin with."""

from __future__ import annotations

from typing import Any

import pytest

from revscript.inbound.imap import ImapSource
from tests.inbound.mailboxes import SOON, Make, imap
from tests.servers.dovecot import Dovecot


@pytest.fixture
def source(dovecot: Dovecot, mailbox_user: str) -> Make:
    """Make a source of this test's mailbox."""

    def make(**more: Any) -> ImapSource:
        more.setdefault("interval", SOON)
        return imap(dovecot.imap, mailbox_user, ca_file=dovecot.ca_pem, **more)

    return make
