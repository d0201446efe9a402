"""The port answers, whatever hangs or fails behind it and whoever leans on it."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack, closing

import pytest

from revscript.config import Web
from revscript.errors import StoreError
from revscript.health import Standing
from revscript.web import Pulse, probes, server
from revscript.web.once import Once
from revscript.web.server import MAX_HEAD, MOST_CONNECTIONS, Answer
from tests.instance import wait_until
from tests.web.kit import Host, free_port, get, opened, problem


def test_all_is_well() -> None:
    with opened(Host()) as port:
        alive, ready, metrics = (get(port, path) for path in ("/livez", "/readyz", "/metrics?x=1"))
    assert (alive.status, alive.json) == (200, {"alive": True, "stalled": []})
    assert (ready.status, ready.json) == (200, {"ready": True, "problems": []})
    assert (metrics.status, metrics.body) == (200, "numbers\n")
    assert ready.headers["Content-Type"] == "application/json"
    assert ready.headers["Cache-Control"] == "no-store"
    assert ready.headers["Server"].strip() == "revscript"


def test_what_stands_makes_it_not_ready_and_says_why() -> None:
    host = Host(problems=[problem("store", what="The disk is full."), problem("disk", "warning")])
    with opened(host) as port:
        ready, alive = get(port, "/readyz"), get(port, "/livez")
    assert (ready.status, alive.status) == (503, 200)
    (said,) = ready.json["problems"]
    assert said.pop("seconds") >= 0
    assert said == {
        "key": "store",
        "severity": "error",
        "where": "place",
        "what": "The disk is full.",
        "way_out": "Mend it.",
        "since": "2026-03-01T12:00:00.000+00:00",
    }


@pytest.mark.parametrize("key", ["quarantine:1", "act:7", "unreadable:3"])
def test_what_may_quote_a_mail_is_not_told_to_everybody(key: str) -> None:
    with opened(Host(problems=[problem(key, what="KeyError: 'Meier'")])) as port:
        ready = get(port, "/readyz")
    assert ready.status == 503
    assert "Meier" not in ready.body
    assert ready.json["problems"][0]["what"] == "See `revscript status`."


def test_a_thread_that_stands_still_is_not_alive() -> None:
    pulse = Pulse()
    pulse.beat("watch-post", 3600)
    with opened(Host(stalled=pulse.stalled)) as port:
        assert get(port, "/livez").status == 200
        pulse.beat("engine-1", -5)
        dead = get(port, "/livez")
        assert (dead.status, dead.json["stalled"]) == (503, ["engine-1: no sign of life for 5 s more than allowed"])
        pulse.end("engine-1")
        assert get(port, "/livez").status == 200


# ---------------------------------------------------------------- what is asked hangs or fails


def test_it_answers_while_the_database_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    hang = threading.Event()

    def standing() -> list[Standing]:
        hang.wait(30)
        return []

    def metrics() -> Answer:
        hang.wait(30)
        return Answer.text(200, "numbers\n")

    host = Host(standing=standing, metrics=metrics)
    monkeypatch.setattr(probes, "PATIENCE", 0.2)
    monkeypatch.setattr(probes, "METRICS_PATIENCE", 0.2)
    with opened(host) as port:
        ready, numbers, alive = get(port, "/readyz"), get(port, "/metrics"), get(port, "/livez")
        assert ready.status == numbers.status == 503
        assert ready.json["problems"][0]["what"] == "The problems cannot be listed: no answer in time"
        assert alive.status == 200
        hang.set()
        wait_until(lambda: get(port, "/readyz").status == get(port, "/metrics").status == 200, 5, "all is well again")


def test_it_answers_when_what_it_asks_fails() -> None:
    def fail() -> list[Standing]:
        raise StoreError("The disk is gone, and the password is hunter2.")

    def fault() -> Answer:
        raise RuntimeError("hunter2")

    with opened(Host(standing=fail, metrics=fault, stalled=lambda: [str(fault())])) as port:
        answers = [get(port, path) for path in ("/readyz", "/metrics", "/livez")]
    assert [one.status for one in answers] == [503, 503, 503]
    assert not any("hunter2" in one.body for one in answers)


def test_one_thread_asks_however_many_wait() -> None:
    asked, go = [0], threading.Event()

    def work() -> int:
        asked[0] += 1
        go.wait(30)
        return asked[0]

    once, got = Once("test", work, 30), list[int]()
    threads = [threading.Thread(target=lambda: got.append(once())) for _ in range(10)]
    for thread in threads:
        thread.start()
    wait_until(lambda: asked[0] == 1, 5, "it is asked")
    go.set()
    for thread in threads:
        thread.join()
    assert set(got) <= {1, 2}
    assert once() == asked[0]


# ---------------------------------------------------------------- requests of all kinds


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /nothing HTTP/1.1", 404),
        (b"GET /livez/../metrics HTTP/1.0", 404),
        (b"POST /livez HTTP/1.1", 501),
        (b"GET", 400),
        (b"GET /livez HTTP/9.9", 505),
        (b"\x16\x03\x01\x00\xa5\x01\x00", 400),
        (b"GET <script> HTTP/1.1", 404),
        (b"GET /livez HTTP/1.1\r\nHost: a\r\nX: \xff\xfe", 200),
    ],
)
def test_odd_requests(request_line: bytes, status: int) -> None:
    with opened(Host()) as port:
        answer = _said(port.port, request_line + b"\r\n\r\n")
    assert answer.startswith(f"HTTP/1.0 {status} ".encode())
    assert b"<script>" not in answer


def test_head_has_no_body() -> None:
    with opened(Host()) as port:
        got = get(port, "/metrics", "HEAD")
    assert (got.status, got.body, got.headers["Content-Length"]) == (200, "", "8")


def test_a_head_that_never_ends_is_cut_off() -> None:
    with opened(Host()) as port:
        assert _said(port.port, b"GET /livez HTTP/1.1\r\nX: " + b"x" * (MAX_HEAD * 4)) == b""
        assert get(port, "/livez").status == 200


def _said(port: int | None, request: bytes) -> bytes:
    assert port
    with closing(socket.create_connection(("127.0.0.1", port), timeout=20)) as client:
        try:
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: client.recv(4096), b""))
        except ConnectionError:
            return b""


# ---------------------------------------------------------------- slow clients


def test_a_drop_at_a_time_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD_WITHIN", 0.5)
    with opened(Host()) as port, closing(_connect(port.port)) as client:
        for _ in range(50):
            try:
                client.sendall(b"x")
            except ConnectionError:
                return
            time.sleep(0.1)
    pytest.fail("it was still listened to after 5 s")


def test_slow_clients_keep_nobody_else_out() -> None:
    """Five times as many as are served, and none of them says anything."""
    with opened(Host()) as port, ExitStack() as stack:
        for _ in range(5 * MOST_CONNECTIONS):
            stack.enter_context(closing(_connect(port.port)))
            if port.port and threading.active_count() > 4 * MOST_CONNECTIONS:
                pytest.fail("a thread for each of them")
        for path in ("/livez", "/readyz", "/metrics"):
            assert get(port, path).status == 200


def test_threads_are_bounded_while_answers_hang() -> None:
    """Clients that do not wait for theirs: each thread stays until its answer is there."""
    go = threading.Event()

    def metrics() -> Answer:
        go.wait(30)
        return Answer.text(200, "numbers\n")

    with opened(Host(metrics=metrics)) as port:
        most = 0
        for _ in range(3 * MOST_CONNECTIONS):
            with closing(_connect(port.port)) as client:
                client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            most = max(most, sum(thread.name == "web-request" for thread in threading.enumerate()))
        assert most <= MOST_CONNECTIONS
        go.set()
        wait_until(lambda: get(port, "/livez").status == 200, 10, "there is room again")


def _connect(port: int | None) -> socket.socket:
    assert port
    return socket.create_connection(("127.0.0.1", port), timeout=20)


# ---------------------------------------------------------------- the port


def test_a_port_in_use_is_a_problem_until_it_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "RETRY", 0.1)
    host = Host()
    port = host.probes()
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        number = taken.getsockname()[1]
        port.reconfigure(Web(port=number))
        port.start()
        wait_until(lambda: "web" in host.sink.standing, 5, "the problem")
        found = host.sink.standing["web"]
        assert f"cannot be opened on 127.0.0.1:{number}: Address already in use." in found.what
        assert found.severity == "warning"
    try:
        wait_until(lambda: port.port == number, 5, "it is open")
        assert get(port, "/livez").status == 200
        assert not host.sink.standing
    finally:
        port.stop()


@pytest.mark.parametrize("host_name", ["no.such.host.example", "203.0.113.9"])
def test_an_address_that_is_not_ours(host_name: str) -> None:
    host = Host()
    port = host.probes()
    port.reconfigure(Web(host=host_name, port=free_port()))
    port.start()
    try:
        wait_until(lambda: "web" in host.sink.standing, 20, "the problem")
    finally:
        port.stop()


def test_another_port_and_none_at_all() -> None:
    first, second = free_port(), free_port()
    with opened(Host(), Web(port=first)) as port:
        port.reconfigure(Web(port=second))
        wait_until(lambda: port.port == second, 5, "the other port")
        assert get(port, "/livez").status == 200
        with pytest.raises(ConnectionRefusedError):
            _connect(first)
        port.reconfigure(Web(enabled=False))
        wait_until(lambda: port.port is None, 5, "closed")
        with pytest.raises(ConnectionRefusedError):
            _connect(second)
        port.reconfigure(Web(port=first))
        wait_until(lambda: port.port == first, 5, "open again")


def test_stop_without_start() -> None:
    Host().probes().stop()


def test_it_listens_on_this_machine_alone_unless_told() -> None:
    assert Web().host == "127.0.0.1"
    with opened(Host(), Web(host="0.0.0.0", port=free_port())) as port:
        assert get(port, "/livez").status == 200
