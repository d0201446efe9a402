"""Recorded script versions, compared with the files as they lie there now."""

from __future__ import annotations

from collections.abc import Mapping

from revscript.snapshot import Instance, Script, read_files


class Versions:
    """Tells whether scripts have changed since they were recorded."""

    def __init__(self, instance: Instance) -> None:
        files = read_files(instance)
        self._texts, self._tables = files.texts, files.tables

    def is_there(self, script: str) -> bool:
        """Whether there is a file for this script."""
        return script in self._texts

    def has_changed(self, recorded: Script) -> bool:
        """Whether the script, a library of it or a table is another one by now; a script that is gone is."""
        libraries = {_file(name): text for name, text in recorded.libraries.items()}
        return (
            self._texts.get(recorded.name) != recorded.text
            or _differ(libraries, self._texts)
            or _differ(recorded.tables, self._tables)
        )


def _file(library: str) -> str:
    return library if library.endswith(".py") else f"{library}.py"


def _differ(recorded: Mapping[str, str], now: Mapping[str, str]) -> bool:
    return any(now.get(name) != text for name, text in recorded.items())
