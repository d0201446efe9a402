"""The regular jobs: what they do to a real store, and what they say."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from structlog.testing import capture_logs

from revscript.errors import StoreError
from revscript.host import Stores
from revscript.housekeeping import Upkeep
from revscript.housekeeping.certificates import Certificates
from revscript.housekeeping.upkeep import disk_problem
from revscript.model import Problem
from revscript.snapshot import Instance, load_snapshot
from revscript.store.schema import mail
from tests.housekeeping.kit import Sink
from tests.instance import make_instance
from tests.servers.ca import CertificateAuthority
from tests.store.kit import listed, mailbox, opened, receive, rows
from tests.store.retention_kit import LATER, SECRET, make_mail

GB = 1_000_000_000


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    with opened(tmp_path) as stores:
        yield stores


class Kept:
    """An instance's regular jobs."""

    def __init__(self, stores: Stores, root: Path, *, confirmed: bool = True) -> None:
        self.sink, self.confirmed = Sink(), confirmed
        instance = make_instance(root, {}, settings={"retention": {"raw_mail": 30}})
        upkeep = Upkeep(
            root,
            stores.database,
            stores.blobs,
            lambda: load_snapshot(instance),
            self.sink,
            lambda: LATER,
            lambda: self.confirmed,
            threading.Event(),
        )
        self.jobs = {job.name: job for job in upkeep.jobs()}

    def do(self, name: str) -> None:
        self.jobs[name].work()


def test_all_jobs_can_be_done_on_an_empty_store(stores: Stores, tmp_path: Path) -> None:
    kept = Kept(stores, tmp_path)
    for name in kept.jobs:
        kept.do(name)
    assert sorted(kept.jobs) == ["certificates", "checkpoint", "disk", "optimize", "retention", "sweep"]
    assert not kept.jobs["retention"].at_start  # the clock may be wrong then
    assert kept.sink.standing.keys() <= {"disk"}  # as it is on this machine


def test_retention_goes_by_the_settings_and_logs_numbers_alone(stores: Stores, tmp_path: Path) -> None:
    box = mailbox(stores)
    mails = [make_mail(stores, box, number) for number in (1, 2)]
    kept = Kept(stores, tmp_path)
    kept.sink.report(Problem(f"unreadable:{mails[0]}", "mail", "It could not be read.", "Look at the raw mail."))
    with capture_logs() as said:
        kept.do("retention")
        kept.do("retention")
    assert all(row.purged_at for row in rows(stores, mail))
    assert not kept.sink.standing
    (line,) = said  # the second pass had nothing to say
    assert (line["event"], line["mails"], line["scripts"], line["days"]) == ("purged", 2, 1, 30.0)
    assert SECRET not in str(line)


def test_a_clock_that_nobody_has_confirmed_purges_nothing_and_says_so(stores: Stores, tmp_path: Path) -> None:
    kept = Kept(stores, tmp_path, confirmed=False)
    kept.do("retention")
    assert not kept.sink.standing  # there is nothing to remove
    make_mail(stores, mailbox(stores), 1)
    kept.do("retention")
    assert not any(row.purged_at for row in rows(stores, mail))
    assert kept.sink.standing["retention"].severity == "warning"
    kept.confirmed = True
    kept.do("retention")
    assert all(row.purged_at for row in rows(stores, mail))
    assert not kept.sink.standing


def test_what_a_broken_fetch_left_is_swept_while_the_host_runs(stores: Stores, tmp_path: Path) -> None:
    held = stores.blobs.stage([b"x" * 2_000_000])
    stores.blobs.stage([b"y" * 2_000_000])
    with capture_logs() as said:
        Kept(stores, tmp_path).do("sweep")
    assert [(line["event"], line["rows"]) for line in said] == [("swept", 2)]
    with stores.database.write() as tx:
        kept = stores.blobs.keep(tx, held, LATER)
    assert len(stores.blobs.content(kept)) == 2_000_000


def test_statistics_are_made(stores: Stores, tmp_path: Path) -> None:
    receive(stores, mailbox(stores), listed(1))
    Kept(stores, tmp_path).do("optimize")


# ---------------------------------------------------------------- the disk


@pytest.mark.parametrize(
    ("free", "total", "said", "severity"),
    [
        (61 * GB, 500 * GB, None, None),
        (26 * GB, 500 * GB, None, None),
        (24 * GB, 500 * GB, "about 24 GB are free", "warning"),
        (499_000_000, 4 * GB, "about 450 MB are free", "warning"),
        (501_000_000, 4 * GB, None, None),
        (100_000_000, 4 * GB, "about 100 MB are free", "warning"),
        (99_999_999, 4 * GB, "less than 100 MB are free", "error"),
        (0, 4 * GB, "less than 100 MB are free", "error"),
    ],
)
def test_room_on_the_disk(free: int, total: int, said: str | None, severity: str | None) -> None:
    problem = disk_problem(Path("/srv/data"), free, total)
    assert (problem is None) == (said is None)
    if problem and said:
        assert said in problem.what
        assert (problem.key, problem.where, problem.severity) == ("disk", "/srv/data", severity)


def test_the_disk_problem_comes_and_goes(stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, room = Kept(stores, tmp_path), SimpleNamespace(free=GB // 20, total=4 * GB)

    def usage(_folder: Path) -> SimpleNamespace:
        return room

    monkeypatch.setattr(shutil, "disk_usage", usage)
    kept.do("disk")
    assert kept.sink.standing["disk"].severity == "error"
    room.free = 3 * GB
    kept.do("disk")
    assert not kept.sink.standing


def test_a_data_folder_that_is_gone_is_said(stores: Stores, tmp_path: Path) -> None:
    kept = Kept(stores, tmp_path)
    shutil.rmtree(stores.database.path.parent)
    with pytest.raises(StoreError, match="No such file or directory"):
        kept.do("disk")


# ---------------------------------------------------------------- certificates


def with_ca(root: Path, ca: CertificateAuthority, *, enabled: bool = True) -> Instance:
    account = {
        "enabled": enabled,
        "address": "einsatz@fuest.example",
        "authentication": {"method": "password", "username": "einsatz", "password": "geheim"},
        "receiving": {"protocol": "imap", "host": "imap.fuest.example"},
        "ca_file": "ca.pem",
        "methods": {"document": True},
    }
    (root / "ca.pem").write_bytes(ca.pem)
    return make_instance(root, {"post": account})


def expiry(ca: CertificateAuthority) -> datetime:
    return x509.load_pem_x509_certificate(ca.pem).not_valid_after_utc


@pytest.mark.parametrize(
    ("before", "severity", "said"),
    [
        (timedelta(days=15), None, ""),
        (timedelta(days=13), "warning", " expires on "),
        (timedelta(0), "error", " expired on "),
        (timedelta(days=-100), "error", " expired on "),
    ],
)
def test_an_own_authority_expires(
    tmp_path: Path, ca: CertificateAuthority, before: timedelta, severity: str | None, said: str
) -> None:
    snapshot, sink = load_snapshot(with_ca(tmp_path, ca)), Sink()
    assert "post" in snapshot.accounts, snapshot.findings
    Certificates(tmp_path, sink, lambda: expiry(ca) - before).check(snapshot)
    found = sink.standing.get("certificate:ca.pem")
    assert (found.severity if found else None) == severity
    assert found is None or (said in found.what and found.where == "ca.pem")


def renewed(ca: CertificateAuthority) -> bytes:
    """The same authority's certificate, of a year later."""
    old, key = x509.load_pem_x509_certificate(ca.pem), ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder(old.subject, old.subject, key.public_key(), x509.random_serial_number())
    valid = builder.not_valid_before(old.not_valid_before_utc).not_valid_after(expiry(ca) + timedelta(days=365))
    return valid.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def test_a_renewed_certificate_ends_the_reminder(tmp_path: Path, ca: CertificateAuthority) -> None:
    """Also beside the old one: of each authority the newest counts."""
    snapshot, sink = load_snapshot(with_ca(tmp_path, ca)), Sink()
    certificates = Certificates(tmp_path, sink, lambda: expiry(ca) - timedelta(days=1))
    certificates.check(snapshot)
    assert sink.standing
    (tmp_path / "ca.pem").write_bytes(ca.pem + renewed(ca))
    certificates.check(snapshot)
    assert not sink.standing


def test_an_account_that_is_switched_off_needs_no_certificate(tmp_path: Path, ca: CertificateAuthority) -> None:
    sink = Sink()
    certificates = Certificates(tmp_path, sink, lambda: expiry(ca) + timedelta(days=1))
    certificates.check(load_snapshot(with_ca(tmp_path, ca)))
    assert sink.standing
    certificates.check(load_snapshot(with_ca(tmp_path, ca, enabled=False)))
    assert not sink.standing


def test_a_file_that_is_no_certificate_is_the_checks_matter(tmp_path: Path, ca: CertificateAuthority) -> None:
    snapshot, sink = load_snapshot(with_ca(tmp_path, ca)), Sink()
    for content in (b"", b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"):
        (tmp_path / "ca.pem").write_bytes(content)
        Certificates(tmp_path, sink, lambda: datetime(2100, 1, 1, tzinfo=UTC)).check(snapshot)
    (tmp_path / "ca.pem").unlink()
    Certificates(tmp_path, sink, lambda: datetime(2100, 1, 1, tzinfo=UTC)).check(snapshot)
    assert not sink.standing
