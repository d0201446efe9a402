"""One filled instance for all tests that only look at it."""

from __future__ import annotations

import pytest

from revscript.snapshot import Instance
from tests.cli.filled import filled


@pytest.fixture(scope="session")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Instance:
    """An instance with something of everything."""
    return filled(tmp_path_factory.mktemp("filled"))
