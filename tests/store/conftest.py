"""A store of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from revscript.host import Stores
from tests.store.kit import mailbox, opened


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    """An empty store."""
    with opened(tmp_path) as stores:
        yield stores


@pytest.fixture
def box(stores: Stores) -> int:
    """A mailbox in it."""
    return mailbox(stores)
