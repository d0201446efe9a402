"""The door in the wall: gives jobs to confined children and believes nothing they say."""

from __future__ import annotations

from revscript.sandbox.checked import Checked
from revscript.sandbox.conversation import JobEnd
from revscript.sandbox.jobs import ReaderDied, Sandbox, ScriptRun

__all__ = ["Checked", "JobEnd", "ReaderDied", "Sandbox", "ScriptRun"]
