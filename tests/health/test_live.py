"""A whole host: the canary with real Dovecot, real SMTP, and what the provider does; and a clock that somebody sets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from revscript.host import Host
from revscript.model import wall_clock
from tests.instance import imap_account, make_instance, rows, running, smtp, wait_until
from tests.outbound.post import payload
from tests.servers import free_ports
from tests.servers.dovecot import Dovecot
from tests.servers.smtp_sink import SmtpSink


class Provider:
    """Puts what the SMTP server took into the mailbox, as long as it works."""

    def __init__(self, sink: SmtpSink, dovecot: Dovecot, user: str) -> None:
        self.works = True
        self._sink, self._dovecot, self._user = sink, dovecot, user
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        done = 0
        while not self._stop.wait(0.02):
            messages = self._sink.messages
            for one in messages[done:]:
                if self.works:
                    self._dovecot.deliver(self._user, one.raw)
            done = len(messages)

    def stop(self) -> None:
        """It is closed."""
        self._stop.set()
        self._thread.join(5)


@pytest.fixture
def provider(smtp_sink: SmtpSink, dovecot: Dovecot, mailbox_user: str) -> Iterator[Provider]:
    """One that works."""
    made = Provider(smtp_sink, dovecot, mailbox_user)
    yield made
    made.stop()


def test_a_canary_goes_round_until_the_provider_keeps_it(
    provider: Provider, dovecot: Dovecot, mailbox_user: str, smtp_sink: SmtpSink, tmp_path: Path
) -> None:
    account = imap_account(
        dovecot,
        mailbox_user,
        sending=smtp(smtp_sink.port),
        methods={"centre": True, "document": True},
        canary={"every": 0.05, "within": 0.04},
    )
    instance = make_instance(tmp_path, {"post": account}, settings={"web": {"enabled": False}})
    with running(instance) as host:

        def told() -> bool:
            return any(one.problem.key == "canary:post" for one in host.problems.standing())

        def back() -> int:
            return rows(instance, "SELECT count(*) FROM canary WHERE seen_at IS NOT NULL")[0][0]

        wait_until(lambda: back() >= 2, 30, "two canaries are back")
        assert not told()
        provider.works = False
        wait_until(told, 30, "it is told that none comes back")
        provider.works = True
        wait_until(lambda: not told(), 30, "the next one is back")
    assert rows(instance, "SELECT count(*) FROM centre_entry UNION ALL SELECT count(*) FROM message_form") == [
        (0,),
        (0,),
    ]
    assert rows(instance, "SELECT DISTINCT exit FROM task WHERE state = 'done'") == [("ignored",)]


def test_setting_the_clock_kills_no_mail(tmp_path: Path) -> None:
    """Three days ahead: what waits in the outbox is not too late, and goes on being tried."""
    ahead = timedelta()

    def clock() -> datetime:
        return wall_clock() + ahead

    account = {"address": "einsatz@fuest.example", "sending": smtp(free_ports(1)[0])}
    settings = {"web": {"enabled": False}, "outbox": {"retry": [0.05]}, "alerts": {"after": 0.005}}
    instance = make_instance(tmp_path, {"post": account}, settings=settings)
    host = Host(instance, clock)
    host.start()
    try:
        outbox, now = host.stores.outbox, clock()
        with host.stores.database.write() as tx:
            until = now + timedelta(hours=48)
            outbox.add(
                tx,
                key="one",
                kind="mail",
                lane="smtp:post",
                level="info",
                payload=payload(),
                not_after=until,
                now=now,
                mail_id=None,
            )
        host.bell.ring("act")
        lane = "lane:smtp:post"
        wait_until(lambda: lane in [one.problem.key for one in host.problems.errors()], 10, "delayed for too long")
        ahead = timedelta(days=3)
        tries = rows(instance, "SELECT tries FROM act")[0][0]
        wait_until(lambda: rows(instance, "SELECT tries FROM act")[0][0] > tries + 3, 10, "more tries")
        assert rows(instance, "SELECT state FROM act") == [("pending",)]
        assert not host.host_clock.trusted
    finally:
        host.stop()
