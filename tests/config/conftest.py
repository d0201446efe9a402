"""These tests see no settings of the environment in which they run."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in os.environ if one.startswith("REVSCRIPT_")]:
        monkeypatch.delenv(name)
