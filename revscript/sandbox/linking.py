"""Which libraries a script needs, and whether they have what is asked of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from revscript.jail import wire
from revscript.sandbox.checked import Checked

MOST_LIBRARIES = 100  # of one script, direct and indirect: far above what people overlook


@dataclass(frozen=True, slots=True)
class FileProblem:
    """What is wrong in a file of `user_scripts` (`units.py`, `tables/units.csv`); lines and columns count from 1."""

    file: str
    line: int | None
    column: int | None
    text: str

    def __str__(self) -> str:
        place = f", line {self.line}, column {self.column}" if self.line else ""
        return f"{self.file}{place}: {self.text}"


@dataclass(slots=True)
class Linked:
    """The libraries that a script imports, directly or not, in the order in which they are first named."""

    libraries: dict[str, Checked] = field(default_factory=dict[str, Checked])
    problems: list[FileProblem] = field(default_factory=list[FileProblem])


def link(file: str, checked: Checked, texts: Mapping[str, str], check: Callable[[str], Checked]) -> Linked:
    """Follow the imports of a script or library. `texts`: libraries by module name; `check` looks at one's text."""
    linking = _Linking(texts, check)
    linking.follow(file, checked, (file.removesuffix(".py"),))
    return linking.linked


def problems_in(file: str, found: Collection[wire.ScriptProblem]) -> Iterator[FileProblem]:
    """A file's own problems."""
    return (FileProblem(file, one.line, one.column, one.text) for one in found)


class _Linking:
    def __init__(self, texts: Mapping[str, str], check: Callable[[str], Checked]) -> None:
        self._texts = texts
        self._check = check
        self.linked = Linked()

    def follow(self, file: str, checked: Checked, chain: tuple[str, ...]) -> None:
        for one in checked.imports:
            text = self._wrong(one, chain) or self._take(one, chain)
            if text:
                self.linked.problems.append(FileProblem(file, one.line, one.column, text))

    def _wrong(self, one: wire.Imported, chain: tuple[str, ...]) -> str:
        name = one.module
        if name in chain:
            circle = " → ".join((*chain[chain.index(name) :], name))
            return f"imports go in a circle: {circle}; move what several need into a library of its own"
        if name not in self._texts:
            near = get_close_matches(name, self._texts, n=1)
            meant = f"; did you mean '{near[0]}'?" if near else ""
            return f"module '{name}' is not available to scripts, and there is no library {name}.py{meant}"
        if len(self.linked.libraries) >= MOST_LIBRARIES and name not in self.linked.libraries:
            return f"a script may import at most {MOST_LIBRARIES} libraries"
        return ""

    def _take(self, one: wire.Imported, chain: tuple[str, ...]) -> str:
        name, file = one.module, f"{one.module}.py"
        library = self.linked.libraries.get(name)
        if library is None:
            library = self._check(self._texts[name])
            if not library.is_script:
                self.linked.libraries[name] = library
                self.linked.problems += problems_in(file, library.problems)
                self.follow(file, library, (*chain, name))
        if library.is_script:
            return f"{file} is a script, because it has onEMail; move what several need into a library of its own"
        if library.problems:  # said above; what it defines is not known
            return ""
        return "; ".join(
            _absent(name, wanted, library.defines) for wanted in one.names if wanted not in library.defines
        )


def _absent(module: str, name: str, there_are: Collection[str]) -> str:
    near = get_close_matches(name, there_are, n=1)
    return f"library {module}.py has no '{name}'" + (f"; did you mean '{near[0]}'?" if near else "")
