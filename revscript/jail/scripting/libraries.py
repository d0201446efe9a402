"""The libraries of one run: each runs once, when it is first imported, in global names of its own.

SECURITY: their code is compiled under the scripts' policy and sees the same guards and objects. What an import gives
is a proxy whose names are read by the interpreter alone; the script gets the names that it asked for, never the proxy.
All of it lives and dies with the run's process.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from revscript.jail.scripting.guards import import_module, script_globals
from revscript.jail.scripting.modules import MODULES

MAIN = "<script>"  # what the script itself is called, as no library can be

Load = Callable[[], types.CodeType]


class Library:
    """What `from name import …` reads from. It has no `__name__`, for the reason that `offers.Namespace` has none."""

    __slots__ = ("_names", "_title")

    def __init__(self, title: str, names: dict[str, Any]) -> None:
        self._title = title
        self._names = names

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._names:
            raise AttributeError(f"library {self._title} has no '{name}'")
        return self._names[name]


class Libraries:
    """Imports for one run. `codes`: how to get the code of each library; `api`: the objects that all of them share."""

    def __init__(self, codes: Mapping[str, Load], api: Mapping[str, Any]) -> None:
        self._codes = codes
        self._api = api
        self._begun: set[str] = set()
        self._done: dict[str, Library] = {}

    def names_of(self, title: str) -> dict[str, Any]:
        """Fresh global names for the script or a library."""
        return script_globals(self._api, title, self.import_name)

    def import_name(
        self, name: str, _globals: object = None, _locals: object = None, fromlist: Any = (), level: int = 0
    ) -> Any:
        """`import name`, `from name import …`: a listed module, else a library of this run."""
        if level or name in MODULES or name not in self._codes or type(fromlist) is not tuple or not fromlist:
            return import_module(name, fromlist=fromlist, level=level)
        if name not in self._done:
            self._run(name)
        library = self._done[name]
        for wanted in typing.cast("tuple[str, ...]", fromlist):
            if wanted.startswith("_") or not hasattr(library, wanted):  # the proxy's own names are no names
                raise ImportError(f"library {name} has no '{wanted}'")
        return library

    def _run(self, name: str) -> None:
        if name in self._begun:
            raise ImportError(f"library {name} did not come to its end: it imports itself, or it has failed before")
        self._begun.add(name)
        names = self.names_of(name)
        exec(self._codes[name](), names)  # noqa: S102 - code of `policy.examine`, in the jail, with guarded names
        self._done[name] = Library(name, names)
