"""Calls by HTTP: real servers, good and bad, and one that tries to lead us elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from revscript.config import Network
from revscript.errors import DeliveryFailed
from revscript.model import wall_clock
from revscript.outbound import webhook
from revscript.outbound.webhook import Web
from tests.servers import free_ports
from tests.servers.ca import CertificateAuthority
from tests.servers.http import HttpReceiver, Reply

Call = Callable[..., Web]


@pytest.fixture
def https(ca: CertificateAuthority) -> Iterator[HttpReceiver]:
    """A server with a certificate of the test authority."""
    with HttpReceiver(ca) as receiver:
        yield receiver


@pytest.fixture
def web(ca: CertificateAuthority, tmp_path: Path) -> Call:
    """Makes a client that trusts the test authority."""
    ca.write(tmp_path / "ca.pem")

    def make(**more: object) -> Web:
        network = Network.model_validate({"ca_file": "ca.pem", "connect_timeout": 3, "read_timeout": 3} | more)
        return Web(tmp_path, lambda: network, wall_clock)

    return make


def test_get_and_post(web: Call, https: HttpReceiver) -> None:
    date = datetime(2026, 11, 24, 10, tzinfo=UTC)
    https.date = lambda: date
    answer = web().get(https.url)
    assert (answer.status, answer.host, answer.date) == (204, "localhost", date)
    assert wall_clock() - answer.asked < timedelta(minutes=1)
    https.next(Reply(202, b"thanks"))
    assert web().post(https.url, {"text": "Lagerhalle brennt – Übung"}, "key-7").status == 202
    get, post = https.calls
    assert (get.method, get.path, get.body) == ("GET", "/hook/s3cret-path", b"")
    assert post.json == {"text": "Lagerhalle brennt – Übung"}
    assert post.headers["Idempotency-Key"] == "key-7"
    assert post.headers["Content-Type"] == "application/json"
    assert post.headers["User-Agent"].startswith("revscript/")


def test_a_certificate_that_is_not_trusted(web: Call, https: HttpReceiver) -> None:
    with pytest.raises(DeliveryFailed, match="certificate of localhost is not trusted"):
        web(ca_file=None).get(https.url)
    assert not https.calls


def test_the_name_in_the_certificate_counts(web: Call, ca: CertificateAuthority) -> None:
    with HttpReceiver(cert=ca.issue("other.example")) as receiver:
        with pytest.raises(DeliveryFailed, match="not trusted"):
            web().get(receiver.url)
        assert not receiver.calls


def test_an_expired_certificate(web: Call, ca: CertificateAuthority) -> None:
    cert = ca.issue(valid_until=timedelta(hours=-1))
    with HttpReceiver(cert=cert) as receiver, pytest.raises(DeliveryFailed, match="expired") as failed:
        web().get(receiver.url)
    assert "clock" in failed.value.hint


@pytest.mark.parametrize(
    ("reply", "said", "way_out"),
    [
        (Reply(500, b"boom\x1b[31m\r\nsecond line"), r"^localhost answered 500 Internal Server Error\.$", "operator"),
        (Reply(404, b"Cannot POST /hook/s3cret-path"), r"localhost answered 404 Not Found\.$", "Check the URL"),
        (Reply(429, b"slow down"), "answered 429 Too Many Requests", "does not accept"),
        (Reply(599), r"answered 599\.$", "operator"),
        (Reply(500, b"x" * 1_000_000), "answered 500 ", "operator"),
    ],
)
def test_a_bad_answer_is_a_failure(web: Call, https: HttpReceiver, reply: Reply, said: str, way_out: str) -> None:
    https.next(reply)
    with pytest.raises(DeliveryFailed, match=said) as failed:
        web().post(https.url, {}, "k")
    assert way_out in failed.value.hint
    assert len(str(failed.value)) < 300
    assert "s3cret" not in str(failed.value) + failed.value.hint


def test_no_redirect_is_followed(web: Call, https: HttpReceiver) -> None:
    with HttpReceiver() as elsewhere:
        https.next(Reply(307, headers={"Location": elsewhere.url}), Reply(302, headers={"Location": elsewhere.url}))
        for call in (lambda: web().post(https.url, {}, "k"), lambda: web().get(https.url)):
            with pytest.raises(DeliveryFailed, match="answered 30") as failed:
                call()
            assert "another address" in failed.value.hint
        assert not elsewhere.calls
    assert len(https.calls) == 2


@pytest.mark.parametrize("how", [HttpReceiver.DROP, HttpReceiver.STALL, HttpReceiver.TRICKLE])
def test_a_server_that_does_not_answer(
    web: Call, https: HttpReceiver, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "DEADLINE", 0.5)
    https.next(how)
    with pytest.raises(DeliveryFailed, match="localhost") as failed:
        web().get(https.url)
    assert "s3cret" not in str(failed.value)
    assert web().get(https.url).status == 204


def test_nobody_there_and_nonsense(web: Call) -> None:
    with pytest.raises(DeliveryFailed, match="localhost: Connection refused"):
        web().get(f"https://localhost:{free_ports(1)[0]}/x")
    with pytest.raises(DeliveryFailed, match="cannot be resolved"):
        web().get("https://nowhere.invalid/x")
    for url in ("https://", "ftp://localhost/", "https://a:b:c/", "https://[::1/"):
        with pytest.raises(DeliveryFailed):
            web().get(url)
    with pytest.raises(DeliveryFailed):
        web(ca_file="missing.pem").get("https://localhost/")


def test_the_environment_counts_for_nothing(web: Call, https: HttpReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_ports(1)[0]}")
    assert web().get(https.url).status == 204
    with pytest.raises(DeliveryFailed):  # … but the settings do
        web(proxy=f"http://127.0.0.1:{free_ports(1)[0]}").get(https.url)


def test_without_tls_a_date_proves_nothing(web: Call) -> None:
    with HttpReceiver() as receiver:
        assert web().get(receiver.url).date is None


@pytest.mark.parametrize(
    "date",
    [
        "",
        "yesterday",
        "Tue, 99 Nov 2026 10:00:00 GMT",
        "9" * 5000,
        "Mon, 01 Jan 2026 00:00:00 +99999999999999999999",
        "Fri, 31 Dec 9999 23:59:59 -2359",
    ],
)
def test_a_date_that_is_none(web: Call, https: HttpReceiver, date: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts is the status: a webhook that took an alert must not get it again."""

    def its_date(*_: object) -> str:
        return date

    monkeypatch.setattr("tests.servers.http._Handler.date_time_string", its_date)
    answer = web().post(https.url, {}, "k")
    assert (answer.status, answer.date) == (204, None)


@pytest.mark.parametrize("field", ["Age", "Via", "X-Cache"])
def test_a_date_that_a_cache_may_have_kept_proves_nothing(web: Call, https: HttpReceiver, field: str) -> None:
    https.next(Reply(200, headers={field: "2400"}))
    assert web().get(https.url).date is None
    assert https.calls[0].headers["Cache-Control"] == "no-cache, no-store"


def test_a_body_that_breaks_off_after_a_good_status(web: Call, https: HttpReceiver) -> None:
    https.next(Reply(200, b"", headers={"Transfer-Encoding": "chunked"}))
    assert web().post(https.url, {}, "k").status == 200


def test_a_stop_ends_a_call_under_way(web: Call, https: HttpReceiver) -> None:
    client, failures = web(), list[DeliveryFailed]()
    https.next(HttpReceiver.STALL)

    def call() -> None:
        with pytest.raises(DeliveryFailed) as failed:
            client.get(https.url)
        failures.append(failed.value)

    thread = threading.Thread(target=call)
    thread.start()
    https.wait_for(1)
    client.stop()
    thread.join(2)
    assert failures
    with pytest.raises(DeliveryFailed):
        client.get(https.url)
    assert len(https.calls) == 1
