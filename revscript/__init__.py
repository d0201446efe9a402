"""revscript: mail intake and scripting host for emergency command posts."""

from __future__ import annotations

__version__ = "0.2.0"
