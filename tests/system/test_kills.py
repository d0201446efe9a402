"""kill -9 of the host, its zygote and the mail server: nothing is lost, each fact is there once."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from revscript.store.blobs import Blobs, StagedBlob
from tests.instance import imap_account, make_instance, rows, running, settled, wait_until
from tests.servers.dovecot import Dovecot
from tests.servers.mails import Attachment, alarm_mail
from tests.servers.smtp_sink import SmtpSink
from tests.system.storm import POINTS, Storm

SEED = int(os.environ.get("STORM_SEED", "20261123"))
LOGS = os.environ.get("STORM_LOGS")  # a folder; else beside the other files of the test
RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"

Begin = Callable[[str], Storm]


@pytest.fixture
def begin(
    tmp_path: Path, dovecot: Dovecot, smtp_sink: SmtpSink, mailbox_user: str, request: pytest.FixtureRequest
) -> Begin:
    """Begin a storm with a name; its seed and its log are printed when the test fails."""

    def begin(name: str) -> Storm:
        soak = request.node.get_closest_marker("soak") is not None
        logs = Path(LOGS) if LOGS else RESULTS if soak else tmp_path
        logs.mkdir(parents=True, exist_ok=True)
        storm = Storm(tmp_path, dovecot, smtp_sink, mailbox_user, random.Random(f"{SEED}/{name}"), logs / f"{name}.log")
        storm.log.write_text(f"seed {SEED}\n")
        print(f"seed {SEED}, log {storm.log}")
        return storm

    return begin


@pytest.mark.timeout(0)
@pytest.mark.parametrize(
    ("moments", "each"),
    [
        pytest.param(12, 1),
        pytest.param(100, 4, marks=pytest.mark.soak),
        pytest.param(1000, 34, marks=pytest.mark.soak),
    ],
)
def test_host_killed(moments: int, each: int, begin: Begin) -> None:
    """At random moments, and at every point; a row of the design's table has three of them."""
    storm = begin(f"host-killed-{moments}")
    points = [point for point in POINTS for _ in range(each)]
    lives: list[Callable[[], None]] = [
        *(lambda point=point: storm.die_at(point) for point in points),
        *(lambda: storm.die_after(storm.random.uniform(0, 1)) for _ in range(moments)),
    ]
    storm.random.shuffle(lives)
    for live in lives:
        live()
    storm.drain(300)
    storm.drain(30)  # its start sweeps what the life before staged for nothing
    storm.check_all()
    by_row = Counter[str]()
    for point in POINTS:
        by_row[point.row] += storm.deaths[point.event]
    storm.note(f"deaths by last event: {dict(storm.deaths)}\nidle: {storm.idle}\nby row: {dict(by_row)}")
    assert storm.deaths.total() == moments + len(points)
    assert storm.idle < moments / 4, "most were to die in the middle of a drain"
    assert all(storm.deaths[point.event] >= each for point in POINTS)
    assert all(by_row[point.row] >= 3 * each for point in POINTS)


@pytest.mark.timeout(0)
@pytest.mark.parametrize("kills", [10, pytest.param(100, marks=pytest.mark.soak)])
@pytest.mark.parametrize("victim", ["zygote", "server"])
def test_others_killed(victim: str, kills: int, begin: Begin, dovecot: Dovecot) -> None:
    """The host lives on; that its zygote or the server dies counts as nobody's try."""
    storm = begin(f"{victim}-killed-{kills}")
    killed = 0
    with storm.host() as host:
        storm.wait_for_start(host)
        while killed < kills:
            storm.top_up()
            time.sleep(storm.random.uniform(0, 1.5 if victim == "zygote" else 0.5))
            assert host.poll() is None
            if victim == "server":
                dovecot.kill()
                time.sleep(storm.random.uniform(0.1, 0.5))
                dovecot.start()
                killed += 1
            else:
                killed += kill_zygote(host.pid)
    assert host.returncode == 0
    storm.drain(120)
    storm.drain(30)
    storm.check_all()


def test_zygote_dies_under_an_extraction(
    tmp_path: Path, dovecot: Dovecot, mailbox_user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of an attachment: it is extracted anew, and nobody's try has failed."""
    data = random.Random(1).randbytes(5_000_000)
    account = imap_account(dovecot, mailbox_user, methods={"document": True})
    instance = make_instance(tmp_path, {"a": account})
    killed: list[int] = []
    real = Blobs.stage

    def stage(blobs: Blobs, pieces: Iterable[bytes]) -> StagedBlob:
        def passing() -> Iterator[bytes]:
            for piece in pieces:
                if data.startswith(piece) and not killed and host.sandbox.zygote_pid:
                    killed.append(host.sandbox.zygote_pid)
                    os.kill(killed[0], signal.SIGKILL)
                yield piece

        return real(blobs, passing())

    monkeypatch.setattr(Blobs, "stage", stage)
    dovecot.deliver(mailbox_user, alarm_mail(attachments=[Attachment("film.bin", data)]))
    with running(instance) as host:
        wait_until(lambda: settled(instance) == 1, 30, "the mail is settled")
        assert killed
        assert host.sandbox.zygote_pid != killed[0]
    assert rows(instance, "SELECT exit, attempt FROM run") == [("done", 1)]
    sizes = "SELECT size FROM form_attachment JOIN blob ON blob.id = blob_id"
    assert rows(instance, sizes) == [(len(data),)]


def kill_zygote(host: int) -> int:
    """Kill the zygote of a host, the child of any of its threads → how many died: none while it starts anew."""
    children = [child for file in Path(f"/proc/{host}/task").glob("*/children") for child in file.read_text().split()]
    living = [int(child) for child in children if Path(f"/proc/{child}/cmdline").read_bytes()]
    for child in living:
        os.kill(child, signal.SIGKILL)
    return len(living)
