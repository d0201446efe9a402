"""The scripts: policy, guards, objects and runs, without a jail around them."""

from __future__ import annotations
