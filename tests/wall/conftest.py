"""Jails: one with room for all tests of a worker, and a tight one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from revscript.jail.confine import Limits
from revscript.sandbox import Sandbox
from tests.wall.kit import ROOMY


@pytest.fixture(scope="package")
def sandbox() -> Iterator[Sandbox]:
    """A jail in which honest scripts have all the time they need, also on a busy machine."""
    sandbox = Sandbox(ROOMY, children=4)
    sandbox.start()
    yield sandbox
    sandbox.stop()


@pytest.fixture(scope="package")
def tight() -> Iterator[Sandbox]:
    """A jail for scripts that do not end by themselves."""
    sandbox = Sandbox(Limits(cpu=30, memory=64 << 20, wall=600), children=4)
    sandbox.start()
    yield sandbox
    sandbox.stop()


@pytest.fixture
def own() -> Iterator[Sandbox]:
    """A jail of its own, for a test that breaks it."""
    sandbox = Sandbox(ROOMY, children=4)
    sandbox.start()
    yield sandbox
    sandbox.stop()
