"""A command post of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.records.kit import Post, post_in


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    """An empty command post."""
    with post_in(tmp_path) as post:
        yield post
