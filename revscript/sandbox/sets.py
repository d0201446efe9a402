"""Sets: a script, its libraries and its tables are in force together or not at all."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from revscript.jail.limits import FileName
from revscript.jail.wire import MAX_FILE_NAME, TableUse
from revscript.model import canonical_json, sha256_hex
from revscript.sandbox.checked import Checked
from revscript.sandbox.jobs import Sandbox
from revscript.sandbox.linking import FileProblem, link, problems_in
from revscript.snapshot import Script

__all__ = ["Assembled", "FileProblem", "assemble", "assemble_one", "sha256_of_set"]


@dataclass(frozen=True, slots=True)
class Assembled:
    """Scripts that can run, by file name; of the others what is wrong with them or with what they need.

    `others`: problems of libraries that no script imports, and of tables that no script uses.
    """

    scripts: Mapping[str, Script]
    refused: Mapping[str, tuple[FileProblem, ...]]
    others: tuple[FileProblem, ...]

    @property
    def problems(self) -> tuple[FileProblem, ...]:
        """All of them, each once, in the order of files and lines."""
        found = dict.fromkeys([*(one for refused in self.refused.values() for one in refused), *self.others])
        return tuple(sorted(found, key=lambda one: (one.file, one.line or 0, one.column or 0)))


def assemble(
    texts: Mapping[str, str], tables: Mapping[str, str], sandbox: Sandbox, wanted: Collection[str] = ()
) -> Assembled:
    """Put scripts together. `texts`: scripts and libraries, `tables`: tables, both file name → text.

    `wanted` are files that must be scripts, because an account runs them. Raises JailBroken.
    """
    return _Assembly(texts, tables, sandbox).assembled(wanted)


def assemble_one(
    file: str, texts: Mapping[str, str], tables: Mapping[str, str], sandbox: Sandbox
) -> Script | tuple[FileProblem, ...]:
    """Put one script together, looking at nothing that it does not need; else what is wrong. Raises JailBroken."""
    return _Assembly(texts, tables, sandbox).script(file, sandbox.check_script(texts[file]))


def sha256_of_set(text: str, libraries: Mapping[str, str], tables: Mapping[str, str]) -> str:
    """The hash of a script with libraries and tables; of a text alone it is that of the text."""
    if not libraries and not tables:
        return sha256_hex(text)
    return sha256_hex(canonical_json({"text": text, "libraries": dict(libraries), "tables": dict(tables)}))


class _Assembly:
    def __init__(self, texts: Mapping[str, str], tables: Mapping[str, str], sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._texts = texts
        self._modules = {file.removesuffix(".py"): text for file, text in texts.items()}
        self._tables = _Tables(tables, sandbox)
        self._imported: set[str] = set()

    def assembled(self, wanted: Collection[str]) -> Assembled:
        scripts: dict[str, Script] = {}
        refused: dict[str, tuple[FileProblem, ...]] = {}
        libraries = dict[str, Checked]()
        for file, text in self._texts.items():
            checked = self._sandbox.check_script(text, library=file not in wanted)
            if not checked.is_script and file not in wanted:
                libraries[file] = checked
                continue
            made = self.script(file, checked)
            if isinstance(made, Script):
                scripts[file] = made
            else:
                refused[file] = made
        others = [one for file, checked in libraries.items() for one in self._library(file, checked)]
        return Assembled(scripts, refused, tuple(dict.fromkeys([*others, *self._tables.others()])))

    def _check(self, text: str) -> Checked:
        return self._sandbox.check_script(text, library=True)

    def script(self, file: str, checked: Checked) -> Script | tuple[FileProblem, ...]:
        """The script's set, or what is wrong with it."""
        linked = link(file, checked, self._modules, self._check)
        self._imported.update(f"{name}.py" for name in linked.libraries)
        parts = {file: checked} | {f"{name}.py": library for name, library in linked.libraries.items()}
        problems = [*problems_in(file, checked.problems), *linked.problems]
        tables = dict[str, str]()
        for part, one in parts.items():
            problems += self._tables.take(part, one, tables)
        if problems:
            return tuple(dict.fromkeys(problems))
        text = self._texts[file]
        libraries = {name: self._modules[name] for name in sorted(linked.libraries)}
        return Script(file, text, sha256_of_set(text, libraries, tables), libraries, tables)

    def _library(self, file: str, checked: Checked) -> Iterator[FileProblem]:
        """Of one that no script imports; what is wrong with others is said with the scripts that need them."""
        if file in self._imported:
            return
        name = file.removesuffix(".py")
        if not name.isidentifier():
            yield FileProblem(file, None, None, "a library of this name cannot be imported: use letters, digits and _")
        yield from problems_in(file, checked.problems)
        yield from link(file, checked, self._modules, self._check).problems
        yield from self._tables.take(file, checked, {})


class _Tables:
    """The tables; each is checked in the jail when somebody uses it, at the latest for `others`."""

    def __init__(self, tables: Mapping[str, str], sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._texts = {file: text for file, text in sorted(tables.items()) if _good_name(file)}
        self._bad_names = [file for file in tables if not _good_name(file)]
        self._files: dict[str, list[str]] = {}
        for file in self._texts:
            self._files.setdefault(_table_name(file), []).append(file)
        self._used: set[str] = set()

    def take(self, file: str, checked: Checked, into: dict[str, str]) -> Iterator[FileProblem]:
        """Put the tables that a file uses `into` its set; yields what is wrong with them."""
        for use in checked.tables:
            if use.name not in self._files:
                yield FileProblem(file, use.line, use.column, self._absent(use))
        named = {use.name for use in checked.tables}
        for one in self._texts:
            if checked.any_table or _table_name(one) in named:
                into[one] = self._texts[one]
                self._used.add(one)
                yield from self._wrong(one)

    def _wrong(self, file: str) -> Iterator[FileProblem]:
        place = f"tables/{file}"
        twin = next((twin for twin in self._files[_table_name(file)] if twin != file), None)
        if twin:
            yield FileProblem(place, None, None, f"there is tables/{twin} as well; rename one of them")
        yield from problems_in(place, self._sandbox.check_table(file, self._texts[file]))

    def _absent(self, use: TableUse) -> str:
        near = get_close_matches(_table_name(use.name), self._files, n=1)
        meant = f"; did you mean '{near[0]}'?" if near else ""
        return f"there is no table '{use.name}'; there are: {', '.join(self._files) or 'none'}{meant}"

    def others(self) -> Iterator[FileProblem]:
        """Problems of tables that nobody uses."""
        for file in self._bad_names:
            yield FileProblem(f"tables/{file}", None, None, "a table of this name cannot be used; rename it")
        for file in sorted(self._texts.keys() - self._used):
            yield from self._wrong(file)


def _table_name(file: str) -> str:
    return file.removesuffix(".csv").removesuffix(".json")


def _good_name(file: str) -> bool:
    try:
        FileName(MAX_FILE_NAME).check(file)
    except ValueError:
        return False
    return file.endswith((".csv", ".json"))
