"""The metrics of a store whose numbers are known, read by Prometheus' own parser."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from math import inf
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import update

from revscript import __version__
from revscript.health import Standing
from revscript.host import Stores
from revscript.snapshot import Instance, load_snapshot
from revscript.store.schema import canary, mailbox
from revscript.web import Metrics, Sources
from tests.instance import make_instance
from tests.store.kit import MINUTE, NOW, listed, opened, receive
from tests.store.retention_kit import add, an_act
from tests.store.test_measures import run_once
from tests.web.kit import Host, get, problem
from tests.web.kit import opened as port_opened

Key = tuple[str, frozenset[tuple[str, str]]]


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    with opened(tmp_path) as stores:
        yield stores


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    account = {
        "address": "einsatz@fuest.example",
        "authentication": {"method": "password", "username": "einsatz", "password": "geheim-42"},
        "receiving": {"protocol": "imap", "host": "mail.fuest.example", "folders": ["INBOX", "Alarm"]},
        "methods": {"document": True},
    }
    off = account | {"enabled": False, "address": "aus@fuest.example"}
    off["authentication"] = {"method": "password", "username": "aus", "password": "geheim-42"}
    return make_instance(tmp_path, {"leitstelle": account, "aus": off})


def metrics_of(stores: Stores, instance: Instance, standing: list[Standing] | None = None) -> Metrics:
    snapshot = load_snapshot(instance)
    assert sorted(snapshot.accounts) == ["aus", "leitstelle"]
    return Metrics(
        Sources(
            database=stores.database,
            snapshot=lambda: snapshot,
            standing=lambda: standing or [],
            zygote_alive=lambda: True,
            clock_trusted=lambda: False,
            clock_offset=lambda: -7.5,
            clock=lambda: NOW + 2 * MINUTE,
        )
    )


def scrape(metrics: Metrics) -> dict[Key, float]:
    """All samples; each may be there once."""
    answer = metrics.answer()
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    found: dict[Key, float] = {}
    for family in text_string_to_metric_families(answer.body.decode()):
        assert family.documentation
        for sample in family.samples:
            key = (sample.name.removeprefix("revscript_"), frozenset(sample.labels.items()))
            assert sample.name.startswith("revscript_")
            assert key not in found
            found[key] = sample.value
    return found


def key(name: str, **labels: str) -> Key:
    return name, frozenset(labels.items())


def test_mailboxes(stores: Stores, instance: Instance) -> None:
    box = stores.intake.mailbox_id("imap", "mail.fuest.example", "einsatz", "INBOX")
    values = {"mode": "push", "last_ok_at": NOW, "next_poll_at": NOW + MINUTE, "mail_at": NOW - MINUTE}
    with stores.database.write() as tx:
        tx.execute(update(mailbox).where(mailbox.c.id == box).values(**values, read_by_others=3))
    found = scrape(metrics_of(stores, instance))
    inbox, alarm = {"account": "leitstelle", "folder": "INBOX"}, {"account": "leitstelle", "folder": "Alarm"}
    assert found[key("mailbox_mode", mode="push", **inbox)] == 1
    assert found[key("mailbox_mode", mode="poll", **inbox)] == found[key("mailbox_mode", mode="down", **inbox)] == 0
    assert found[key("mailbox_last_ok_age_seconds", **inbox)] == 120
    assert found[key("mailbox_next_poll_seconds", **inbox)] == -60
    assert found[key("mailbox_last_mail_age_seconds", **inbox)] == 180
    assert found[key("mailbox_read_by_others_total", **inbox)] == 3
    assert found[key("mailbox_last_ok_age_seconds", **alarm)] == inf  # never: an alert on a great age fires
    assert key("mailbox_next_poll_seconds", **alarm) not in found
    assert not any(("account", "aus") in labels for name, labels in found if name.startswith("mailbox"))


def test_mails_tasks_and_acts(stores: Stores, instance: Instance) -> None:
    box = stores.intake.mailbox_id("imap", "mail.fuest.example", "einsatz", "INBOX")
    stores.intake.begin_epoch(box, "1", 1)
    receive(stores, box, listed(1), listed(2), listed(3))
    receive(stores, box, listed(9), account="removed-1")
    receive(stores, box, listed(10), account="removed-2")
    run_once(stores, 1)
    run_once(stores, 2, "failed", done=False)
    an_act(stores, None, "pending")
    an_act(stores, None, "sent")
    found = scrape(metrics_of(stores, instance))
    mails = {state: found[key("mails", account="leitstelle", state=state)] for state in ("received", "read", "done")}
    assert mails == {"received": 2, "read": 0, "done": 1}
    assert found[key("mails", account="(gone)", state="received")] == 2
    assert found[key("mails", account="aus", state="done")] == 0
    assert found[key("mail_oldest_unfinished_age_seconds", account="leitstelle")] == 120
    assert found[key("mail_oldest_unfinished_age_seconds", account="aus")] == 0
    assert found[key("tasks_quarantined", account="leitstelle")] == 1
    assert [found[key("acts", state=state)] for state in ("pending", "sent", "dead")] == [1, 1, 0]
    assert found[key("act_oldest_pending_age_seconds")] == 120


def test_what_grows_is_counted_from_the_start_of_the_host(stores: Stores, instance: Instance) -> None:
    box = stores.intake.mailbox_id("imap", "mail.fuest.example", "einsatz", "INBOX")
    stores.intake.begin_epoch(box, "1", 1)
    receive(stores, box, listed(1))
    run_once(stores, 1)
    metrics = metrics_of(stores, instance)
    before = scrape(metrics)
    assert before[key("mails_received_total", account="leitstelle")] == 0
    assert before[key("runs_total", exit="done")] == before[key("script_cpu_seconds_count")] == 0
    receive(stores, box, listed(2), listed(3))
    run_once(stores, 2)
    run_once(stores, 3, "unhandled")
    for _ in range(2):  # asking changes nothing
        after = scrape(metrics)
        assert after[key("mails_received_total", account="leitstelle")] == 2
        assert after[key("mails", account="leitstelle", state="done")] == 3
        assert after[key("runs_total", exit="done")] == after[key("runs_total", exit="unhandled")] == 1
        assert after[key("script_cpu_seconds_bucket", le="0.01")] == 0
        assert after[key("script_cpu_seconds_bucket", le="0.025")] == 2  # 20 ms each
        assert after[key("script_cpu_seconds_bucket", le="+Inf")] == after[key("script_cpu_seconds_count")] == 2
        assert after[key("script_cpu_seconds_sum")] == pytest.approx(0.04)


def test_the_host_itself(stores: Stores, instance: Instance) -> None:
    standing = [problem("a"), problem("b"), problem("c", "warning")]
    add(stores, canary, account="leitstelle", message_id="c", sent_at=NOW, seen_at=NOW + timedelta(seconds=4))
    found = scrape(metrics_of(stores, instance, standing))
    ((name, labels),) = [one for one in found if one[0] == "build_info"]
    assert (name, dict(labels)["version"], found[name, labels]) == ("build_info", __version__, 1)
    assert (found[key("zygote_alive")], found[key("clock_trusted")], found[key("clock_offset_seconds")]) == (1, 0, -7.5)
    assert (found[key("problems", severity="error")], found[key("problems", severity="warning")]) == (2, 1)
    assert found[key("canary_round_trip_seconds", account="leitstelle")] == 4
    assert found[key("canary_age_seconds", account="leitstelle")] == 116
    assert found[key("database_bytes")] + found[key("database_wal_bytes")] > 100_000
    assert found[key("database_up")] == 1


def test_without_the_database_the_host_is_still_told(stores: Stores, instance: Instance) -> None:
    metrics = metrics_of(stores, instance, [problem("store")])
    stores.database.close()
    stores.database.path.write_bytes(b"no database any more")
    found = scrape(metrics)
    assert found[key("database_up")] == 0
    assert found[key("problems", severity="error")] == 1
    assert not any(name.startswith("mail") for name, _ in found)


def test_names_that_would_break_the_format(stores: Stores, tmp_path: Path, instance: Instance) -> None:
    path = tmp_path / "accounts" / "leitstelle.json"
    path.write_text(path.read_text().replace("Alarm", 'Al\\"arm\\\\ \\u00fc'))
    found = scrape(metrics_of(stores, instance))
    assert {dict(labels)["folder"] for name, labels in found if name == "mailbox_mode"} == {"INBOX", 'Al"arm\\ ü'}


def test_no_secret_is_in_it_and_each_host_has_its_own(stores: Stores, instance: Instance) -> None:
    """Two in one process do not share a registry."""
    metrics = [metrics_of(stores, instance) for _ in range(2)]
    assert all(scrape(one) for one in metrics)
    assert b"geheim-42" not in metrics[0].answer().body


def test_over_the_port(stores: Stores, instance: Instance) -> None:
    metrics: Any = metrics_of(stores, instance)
    with port_opened(Host(metrics=metrics.answer)) as port:
        got = get(port, "/metrics")
    assert got.status == 200
    assert "revscript_database_up 1.0\n" in got.body
