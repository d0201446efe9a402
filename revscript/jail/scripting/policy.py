"""The policy: which Python a script may be written in, and the compiler that keeps to it.

Every problem is told at once, with line and column from 1 and a sentence that says what to write instead.

SECURITY: the source is foreign text. RestrictedPython rewrites attribute access, subscripts, iteration and
calls into the guards of `guards.py`, and refuses every kind of syntax that it does not know. It is the guard
rail inside the jail; a compiler that a script brings down takes only that script's own process with it.
"""

from __future__ import annotations

import ast
import re
import types
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from revscript.jail.scripting.syntax import Syntax, problem
from revscript.jail.wire import OutlineFrame, ScriptProblem

FILENAME = "<script>"
MAX_SOURCE = 256 * 1024  # bytes of UTF-8
MAX_PROBLEMS = 50  # the limit of EndFrame.problems

# What a file that cannot be parsed is meant to be.
_ENTRY = re.compile(r"^(async\s+)?def\s+onEMail\b", re.MULTILINE)
_SPOOFS = re.compile("[\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class PolicyRefused(Exception):
    """The script is not written in the Python that scripts may use."""

    def __init__(self, problems: tuple[ScriptProblem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(
            p.text if p.line is None else f"line {p.line}, column {p.column}: {p.text}" for p in self.problems
        )


@dataclass(frozen=True, slots=True)
class Examined:
    """A script or library: what it is made of, what is wrong with it, its code if nothing is."""

    outline: OutlineFrame
    problems: tuple[ScriptProblem, ...]
    code: types.CodeType | None = None


def examine(source: str) -> Examined:
    """Compile a script or library; never raises for what is written in it."""
    source = source.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    seen = OutlineFrame(is_script=bool(_ENTRY.search(source)))
    try:
        _refuse(_problems_of_text(source))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "\d" in a plain string and the like
            tree = ast.parse(source, FILENAME)
            policy = Syntax(source)
            seen = policy.check(tree)
            _refuse(policy.problems)
            return Examined(seen, (), compile(tree, FILENAME, "exec", dont_inherit=True, optimize=0))
    except PolicyRefused as refused:
        return Examined(seen, refused.problems)
    except SyntaxError as error:
        return Examined(seen, (problem(error.lineno, error.offset, error.msg),))
    except (ValueError, RecursionError, MemoryError) as error:
        why = str(error) or "it is nested too deeply"
        return Examined(seen, (problem(None, None, f"the script cannot be read: {why}"),))


def compile_script(source: str, *, library: bool = False) -> types.CodeType:
    """The code of a script, or of a library; raises PolicyRefused with all problems found."""
    found = examine(source)
    entry = [found.outline.entry] if found.outline.entry and not library else []
    _refuse([*entry, *found.problems])
    assert found.code is not None
    return found.code


def _refuse(problems: list[ScriptProblem]) -> None:
    if problems:
        found = sorted(dict.fromkeys(problems), key=lambda p: (p.line or 0, p.column or 0))
        raise PolicyRefused(tuple(found[:MAX_PROBLEMS]))


def _problems_of_text(source: str) -> list[ScriptProblem]:
    """Too long, or with characters that make a line look other than it is."""
    if len(source.encode("utf-8", "replace")) > MAX_SOURCE:
        return [problem(None, None, f"a script may have {MAX_SOURCE // 1024} kB; move tables into files")]
    return list(_spoofs(source))


def _spoofs(source: str) -> Iterator[ScriptProblem]:
    for found in _SPOOFS.finditer(source):
        line = source.count("\n", 0, found.start()) + 1
        column = found.start() - source.rfind("\n", 0, found.start())
        code = f"{ord(found[0]):04X}"
        yield problem(line, column, f"U+{code} makes text look other than it is; write \\u{code} or remove it")
