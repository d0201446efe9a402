"""The heartbeat on a real HTTPS server: only while all is well."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from revscript.config import Heartbeat as Settings
from revscript.config import Network
from revscript.health.heartbeat import Heartbeat
from revscript.model import wall_clock
from revscript.outbound.webhook import Web
from tests.health.kit import Sink, Time
from tests.servers.ca import CertificateAuthority
from tests.servers.http import HttpReceiver, Reply


class Pulse:
    """A heartbeat by the test's clock."""

    def __init__(self, root: Path, ca: CertificateAuthority, url: str | None) -> None:
        ca.write(root / "ca.pem")
        self.time, self.sink = Time(), Sink()
        self.well = self.trusted = True
        self.settings = Settings.model_validate({"url": url, "every": 5}) if url else None
        self.dates: list[tuple[str, datetime, datetime]] = []
        network = Network(ca_file="ca.pem", connect_timeout=2, read_timeout=2)
        web = Web(root, lambda: network, wall_clock)
        self.heart = Heartbeat(web, lambda: self.settings, lambda: self.well, self.sink, self, self.time.steady)

    def answered(self, host: str, date: datetime, asked: datetime) -> None:
        """A date for the host's clock."""
        self.dates.append((host, date, asked))

    def after(self, seconds: float) -> None:
        """Some time later."""
        self.time.pass_(seconds)
        self.heart.check()


@pytest.fixture
def https(ca: CertificateAuthority) -> Iterator[HttpReceiver]:
    """The service outside."""
    with HttpReceiver(ca) as receiver:
        yield receiver


@pytest.fixture
def pulse(ca: CertificateAuthority, https: HttpReceiver, tmp_path: Path) -> Pulse:
    """A heartbeat to it."""
    return Pulse(tmp_path, ca, https.url)


def test_called_at_once_and_then_as_often_as_wished(pulse: Pulse, https: HttpReceiver) -> None:
    pulse.after(0)
    assert [call.method for call in https.calls] == ["GET"]
    pulse.after(299)
    assert len(https.calls) == 1
    pulse.after(1)
    assert len(https.calls) == 2
    assert not pulse.sink.standing


def test_trouble_withholds_it_until_it_is_over(pulse: Pulse, https: HttpReceiver) -> None:
    pulse.well = False
    for _ in range(20):
        pulse.after(60)
    assert https.calls == []
    assert not pulse.sink.standing  # what is wrong is told already
    pulse.well = True
    pulse.after(30)
    assert len(https.calls) == 1


def test_one_that_fails_is_tried_again_soon(pulse: Pulse, https: HttpReceiver) -> None:
    https.next(Reply(500, b"down"), HttpReceiver.DROP)
    pulse.after(0)
    problem = pulse.sink["heartbeat"]
    assert problem.severity == "warning"
    assert "localhost answered 500 Internal Server Error." in problem.what
    assert "s3cret" not in problem.what + problem.way_out
    pulse.after(29)
    assert len(https.calls) == 1
    pulse.after(1)
    assert "heartbeat" in pulse.sink
    pulse.after(30)
    assert len(https.calls) == 3
    assert "heartbeat" not in pulse.sink
    pulse.after(299)
    assert len(https.calls) == 3


def test_the_answers_date_is_evidence(pulse: Pulse, https: HttpReceiver) -> None:
    its = datetime(2026, 11, 24, 11, tzinfo=UTC)
    https.date = lambda: its
    pulse.after(0)
    ((host, date, asked),) = pulse.dates
    assert (host, date) == ("localhost", its)
    assert wall_clock() - asked < timedelta(minutes=1)


def test_a_clock_that_is_not_trusted_is_asked_for_without_a_call(pulse: Pulse, https: HttpReceiver) -> None:
    """Else the trouble that withholds the calls would never be over where no mail comes."""
    pulse.well = pulse.trusted = False
    https.default = Reply(404)
    pulse.after(0)
    assert [(call.method, call.path) for call in https.calls] == [("HEAD", "/")]
    assert [host for host, _, _ in pulse.dates] == ["localhost"]
    https.stop()
    pulse.after(30)  # nobody there
    assert len(pulse.dates) == 1
    assert not pulse.sink.standing


def test_settings_that_change(pulse: Pulse, https: HttpReceiver, ca: CertificateAuthority) -> None:
    https.next(Reply(500))
    pulse.after(0)
    assert "heartbeat" in pulse.sink
    settings, pulse.settings = pulse.settings, None
    pulse.after(1)
    assert "heartbeat" not in pulse.sink
    pulse.after(3600)
    assert len(https.calls) == 1
    pulse.settings = settings
    pulse.after(0)
    assert len(https.calls) == 2
    with HttpReceiver(ca) as other:
        pulse.settings = Settings.model_validate({"url": other.url})
        pulse.after(1)  # a service that is new waits for its first call
        assert len(other.calls) == 1


def test_a_stop_ends_a_call_under_way(pulse: Pulse, https: HttpReceiver) -> None:
    https.next(HttpReceiver.STALL)
    pulse.heart.start()
    https.wait_for(1)
    pulse.heart.stop()
    pulse.heart.join(1.5)  # the time-out is longer
    assert not pulse.heart._thread.is_alive()
    assert not pulse.sink.standing
