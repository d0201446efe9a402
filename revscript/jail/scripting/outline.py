"""What a file of scripts is made of: its entry, what it imports and defines, which tables it uses.

SECURITY: looks at the tree of a foreign text, in the jail, without recursion. It runs nothing and is no guard: what a
script may do is decided by `syntax.py` and `guards.py`. The host uses it to put scripts and libraries together.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from revscript.jail.limits import Line
from revscript.jail.scripting.modules import MODULES
from revscript.jail.wire import MAX_DEFINED, MAX_IMPORTS, MAX_NAME, Imported, TableUse

ENTRY = "onEMail"
TABLES = "tables"

# (line, offset in bytes) → column in characters, from 1
Column = Callable[[int, int], int]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.Module) -> list[Function]:
    """The functions at top level."""
    return [node for node in tree.body if isinstance(node, Function)]


def binds(node: ast.AST) -> str | None:
    """The name to which this very node gives a meaning."""
    match node:
        case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
            return name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return name
        case ast.ExceptHandler(name=name) | ast.MatchAs(name=name) | ast.MatchStar(name=name):
            return name
        case ast.MatchMapping(rest=name):
            return name
        case ast.alias(name=name, asname=other):
            return other or name.partition(".")[0]
        case _:
            return None


def bound(tree: ast.Module) -> set[str]:
    """Names to which the file itself gives a meaning, anywhere."""
    return {name for node in ast.walk(tree) if (name := binds(node))}


def defined(tree: ast.Module) -> list[str]:
    """Names that others can import from this file: those of its top level that have no underscore in front."""
    found: set[str] = set()
    todo: list[ast.AST] = list(tree.body)
    while todo:
        node = todo.pop()
        if not isinstance(node, ast.ExceptHandler):  # its name is gone after it
            found.add(binds(node) or "")
        todo.extend(_same_scope(node))
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            found.update(node.names)
    return sorted(name for name in found if name and not name.startswith("_") and len(name) <= MAX_NAME)


def _same_scope(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
        return
    if isinstance(node, ast.comprehension):  # its targets are its own
        yield from (node.iter, *node.ifs)
    else:
        yield from ast.iter_child_nodes(node)


def is_of_library(node: ast.ImportFrom) -> bool:
    """Whether this import can only mean a library; what is wrong with others, `syntax.py` says."""
    name = node.module or ""
    return bool(name) and not node.level and name not in MODULES and "." not in name and not name.startswith("_")


def imports(tree: ast.Module, column: Column) -> list[Imported]:
    """What the file imports from libraries, anywhere in it."""
    return [
        Imported(
            module=node.module or "",
            names=tuple(alias.name for alias in node.names),
            line=node.lineno,
            column=column(node.lineno, node.col_offset),
        )
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and is_of_library(node) and all(alias.name != "*" for alias in node.names)
    ]


def too_much(imported: list[Imported], names: list[str]) -> Iterator[tuple[int, str]]:
    """(line, text) of what no outline can hold."""
    if len(imported) > MAX_IMPORTS:
        yield imported[MAX_IMPORTS].line, f"a file may import from libraries at most {MAX_IMPORTS} times"
    for one in imported:
        if len(one.names) > MAX_IMPORTS or max(map(len, (one.module, *one.names))) > MAX_NAME:
            yield one.line, f"an import may have {MAX_IMPORTS} names of {MAX_NAME} characters"
    if len(names) > MAX_DEFINED:
        yield 1, f"a library may define {MAX_DEFINED} names; put values into a dict or a table"


def tables(tree: ast.Module, column: Column) -> tuple[list[TableUse], bool]:
    """Tables that are named in the text, and whether others may be used as well."""
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == TABLES]
    if not uses:
        return [], False
    named = [use for node in ast.walk(tree) if isinstance(node, ast.Call) and (use := _named_table(node, column))]
    if TABLES in bound(tree) or len(named) > MAX_IMPORTS:  # a name of its own: nobody can tell which is meant
        return [], True
    return named, len(named) < len(uses)


def _named_table(node: ast.Call, column: Column) -> TableUse | None:
    match node:
        case ast.Call(func=ast.Name(id="tables"), args=[ast.Constant(value=str(name)) as argument], keywords=[]):
            try:
                Line(MAX_NAME).check(name)
            except ValueError:
                return None
            return TableUse(name=name, line=argument.lineno, column=column(argument.lineno, argument.col_offset))
        case _:
            return None
