"""What compile children said of scripts, libraries and tables, kept by the texts' hashes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from revscript.jail import wire
from revscript.sandbox.conversation import JobEnd

MOST_BYTES = 64 << 20  # of byte code that is kept: thousands of ordinary scripts
MOST_TEXTS = 5000  # of which something is kept


@dataclass(frozen=True, slots=True)
class Compiled:
    """A text's outline, its byte code (which stays opaque in the host), or why there is none."""

    end: JobEnd
    outline: wire.OutlineFrame
    code: bytes | None = None

    @property
    def is_final(self) -> bool:
        """Whether the same text gives the same again; a limit may have been a busy machine's."""
        return self.end.kind in ("done", "refused")


@dataclass(frozen=True, slots=True)
class Checked:
    """What is wrong with a script or library (nothing: it may run), and what it is made of.

    `imports` are those of libraries; `defines` are the names that a library offers. `tables` are uses of tables with
    their names written out, `any_table` says that there are others.
    """

    problems: tuple[wire.ScriptProblem, ...]
    is_script: bool
    imports: tuple[wire.Imported, ...] = ()
    defines: tuple[str, ...] = ()
    tables: tuple[wire.TableUse, ...] = ()
    any_table: bool = False


def checked(compiled: Compiled, *, library: bool) -> Checked:
    """A text as a script, or as a library, which needs no `onEMail`."""
    outline, end = compiled.outline, compiled.end
    problems = end.problems
    if not compiled.is_final:
        problems = (wire.ScriptProblem(line=None, column=None, text=f"checking it ended by {end.trouble}"),)
    elif outline.entry and not library:
        problems = (outline.entry, *problems)
    return Checked(problems, outline.is_script, outline.imports, outline.defines, outline.tables, outline.any_table)


class Kept:
    """The results of compile jobs, the least used go first. Any number of threads may ask."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Compiled] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: str, compile_now: Callable[[], Compiled]) -> Compiled:
        """What is kept under `key`, else what compiling gives now."""
        with self._lock:
            if known := self._kept.get(key):
                self._kept.move_to_end(key)
                return known
        made = compile_now()
        if made.is_final:
            self._keep(key, made)
        return made

    def _keep(self, key: str, made: Compiled) -> None:
        with self._lock:
            if key in self._kept:  # another thread was as fast
                return
            self._kept[key] = made
            self._bytes += len(made.code or b"")
            while self._bytes > MOST_BYTES or len(self._kept) > MOST_TEXTS:
                _, gone = self._kept.popitem(last=False)
                self._bytes -= len(gone.code or b"")
