"""A fault of our own in a try: it counts and ends in quarantine, and no task stays `running`."""

from __future__ import annotations

from typing import Any

import pytest

from revscript.errors import StoreError
from revscript.host import Host
from revscript.methods import document
from revscript.store.ledger import Ledger
from tests.engine.test_broken_jail import host, receive, tasks

__all__ = ["host"]


def fault(*_: Any, **__: Any) -> Any:
    """Instead of a method."""
    raise OSError(24, "Too many open files")


def full(*_: Any, **__: Any) -> Any:
    """Instead of a write."""
    raise StoreError("database or disk is full")


def test_it_counts(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    mail_id = receive(host, "document", "centre")
    monkeypatch.setattr(document, "run", fault)
    host.engine.trying.work(mail_id, host.snapshot, lambda: False)
    assert tasks(host) == [("document", "quarantined", 1), ("centre", "done", 1)]


def test_a_failure_that_cannot_be_recorded_leaves_nothing_running(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    mail_id = receive(host, "document")
    monkeypatch.setattr(document, "run", fault)
    monkeypatch.setattr(Ledger, "record_failure", full)
    with pytest.raises(StoreError):
        host.engine.trying.work(mail_id, host.snapshot, lambda: False)
    assert tasks(host) == [("document", "waiting", 0)]


def test_a_task_that_cannot_be_given_back_is_given_back_later(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    mail_id = receive(host, "document")
    monkeypatch.setattr(document, "run", full)
    with monkeypatch.context() as broken:
        broken.setattr(Ledger, "uncount", full)
        with pytest.raises(StoreError):
            host.engine.trying.work(mail_id, host.snapshot, lambda: False)
    assert tasks(host) == [("document", "running", 1)]
    host.engine.trying.rescue()
    assert tasks(host) == [("document", "waiting", 0)]
