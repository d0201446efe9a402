"""The syntax of scripts: RestrictedPython's transformer with our decisions and what to write instead.

SECURITY: attribute access, subscripts, iteration, assignment and calls are rewritten into the guards of
`guards.py`; syntax without a visitor is refused, so that a new Python's is not trusted before a review.
"""

from __future__ import annotations

import ast
import builtins
import dataclasses
from collections.abc import Iterable
from typing import Any

from RestrictedPython.transformer import (
    INSPECT_ATTRIBUTES,
    IOPERATOR_TO_STR,
    RestrictingNodeTransformer,
    copy_locations,
)

from revscript.jail.scripting import imports, outline, texts
from revscript.jail.scripting.guards import BUILTINS
from revscript.jail.scripting.outline import ENTRY
from revscript.jail.wire import OutlineFrame, ScriptProblem

Visited = ast.AST | Iterable[ast.AST] | None

_SIGNS: dict[type[ast.operator], str] = {**IOPERATOR_TO_STR}

_INSTEAD = {
    "ClassDef": "classes are not available in scripts; use functions and dicts",
    "With": "'with' is not available in scripts; scripts have no files or locks to close",
    "AsyncFunctionDef": "'async' is not available in scripts; write an ordinary function",
    "AsyncFor": "'async for' is not available in scripts; write an ordinary loop",
    "AsyncWith": "'async with' is not available in scripts",
    "Await": "'await' is not available in scripts; call the function directly",
    "TryStar": "'except*' is not available in scripts; use 'except'",
    "MatchClass": "class patterns are not available in 'match'; use isinstance()",
    "TemplateStr": "t-strings are not available in scripts; use an f-string",
    "TypeAlias": "'type' aliases are not available in scripts; leave the line out",
}

_INSTEAD_OF_NAME = {
    "type": "use isinstance()",
    "open": "scripts have no files; read the mail's text or attachments",
    "input": "nobody sits at a script; read the mail",
    "format": "use an f-string",
    "object": "use a dict or a list",
    "setattr": "use a dict",
    "delattr": "use a dict",
    "exit": "use return",
    "quit": "use return",
    "hash": "use mail.fingerprint()",
    "bytearray": "use bytes or a list",
    "BaseException": "use Exception",
}


# Methods that answer yes or no: without the call they would always mean yes.
_ASKED_BY_CALL = {"is_test": "", "is_from": '"@domain"'}


def _takes_one(arguments: ast.arguments) -> bool:
    places = len(arguments.posonlyargs) + len(arguments.args)
    needed = places - len(arguments.defaults)
    required = sum(default is None for default in arguments.kw_defaults)
    return needed <= 1 and (places >= 1 or arguments.vararg is not None) and not required


def problem(line: int | None, column: int | None, text: str) -> ScriptProblem:
    """A problem whose text can be shown; lines and columns count from 1."""
    return ScriptProblem(line=line, column=column and max(column, 0), text=texts.cut(texts.block(text), 1000))


class Syntax(RestrictingNodeTransformer):
    """RestrictedPython's transformer with our decisions; collects problems instead of lines of text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.problems: list[ScriptProblem] = []
        self._lines = source.encode().split(b"\n")

    def check(self, tree: ast.Module) -> OutlineFrame:
        """Note all problems of the tree, rewrite it, and say what it is made of."""
        functions = outline.functions(tree)
        entry = next((node for node in functions if node.name == ENTRY), None)
        found = self._outline(tree, is_script=entry is not None)
        if entry is None:
            found = self._check_no_entry(found, functions)
        elif not _takes_one(entry.args):
            self.error(entry, f"{ENTRY} gets one argument, the mail; write: def {ENTRY}(mail):")
        self._check_builtins(tree)
        self._check_calls(tree)
        self.visit(tree)
        return found

    def _outline(self, tree: ast.Module, *, is_script: bool) -> OutlineFrame:
        imported = outline.imports(tree, self._at)
        defines = [] if is_script else outline.defined(tree)
        tables, any_table = outline.tables(tree, self._at)
        too_much = [problem(line, 1, text) for line, text in outline.too_much(imported, defines)]
        if too_much:
            self.problems += too_much
            return OutlineFrame(is_script=is_script)
        return OutlineFrame(
            is_script=is_script,
            imports=tuple(imported),
            defines=tuple(defines),
            tables=tuple(tables),
            any_table=any_table,
        )

    def _check_no_entry(self, found: OutlineFrame, functions: list[outline.Function]) -> OutlineFrame:
        text = f"the script has no function; write: def {ENTRY}(mail):"
        alike = next((node.name for node in functions if node.name.lower() == ENTRY.lower()), None)
        if alike is None:
            return dataclasses.replace(found, entry=problem(1, 1, text))
        self.problems.append(problem(1, 1, f"there is {alike}, but {text}"))  # no library either: it is meant to be one
        return found

    def _check_calls(self, tree: ast.Module) -> None:
        # `if mail.is_test:` would always be true, and every alarm a test.
        called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in _ASKED_BY_CALL and id(node) not in called:
                self.error(node, f"{node.attr} is a method; write: .{node.attr}({_ASKED_BY_CALL[node.attr]})")

    def _check_builtins(self, tree: ast.Module) -> None:
        # Otherwise a NameError on the day of the alarm.
        absent = set(dir(builtins)) - set(BUILTINS) - outline.bound(tree) - {"print"}
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id in absent and not node.id.startswith("_"):
                instead = _INSTEAD_OF_NAME.get(node.id)
                self.error(node, f"{node.id} is not available in scripts" + (f"; {instead}" if instead else ""))

    # ------------------------------------------------------------ reporting

    def error(self, node: ast.AST, info: str) -> None:
        """Note a problem at the node's beginning."""
        line = getattr(node, "lineno", None)
        self.problems.append(problem(line, self._column(line, getattr(node, "col_offset", 0)), info))

    def _column(self, line: int | None, offset: int) -> int | None:
        # The parser counts bytes; people count characters.
        if line is None or line > len(self._lines):
            return None
        return len(self._lines[line - 1][:offset].decode("utf-8", "ignore")) + 1

    def _at(self, line: int, offset: int) -> int:
        return self._column(line, offset) or 1

    def not_allowed(self, node: ast.AST) -> None:
        """Note that this kind of syntax is not available."""
        kind = type(node).__name__
        self.error(node, _INSTEAD.get(kind, f"this syntax ({kind}) is not available in scripts"))

    def check_name(self, node: Any, name: str | None, allow_magic_methods: bool = False) -> None:  # noqa: ARG002
        """Names with an underscore in front belong to the guards."""
        if name is None or name == "_" or not name.startswith("_"):
            return
        if name == "__name__":
            self.error(node, f"'__name__' is not available in scripts; {ENTRY} is called by itself")
        else:
            self.error(node, f"'{name}' cannot be used: names must not begin with '_'")

    # ------------------------------------------------------------ names and attributes

    def visit_Name(self, node: ast.Name) -> Visited:
        """`print` is an ordinary name here."""
        self.check_name(node, node.id)
        return node

    def visit_Global(self, node: ast.Global) -> Visited:
        """Names are checked."""
        for name in node.names:
            self.check_name(node, name)
        return node

    def visit_Nonlocal(self, node: ast.Nonlocal) -> Visited:
        """Allowed as `global` is."""
        for name in node.names:
            self.check_name(node, name)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> Visited:
        """Python's inner attributes are refused here, the others decided by the guard."""
        if not node.attr.startswith("_") and node.attr not in INSPECT_ATTRIBUTES:
            return super().visit_Attribute(node)
        text = f"'.{node.attr}' is internal to Python and not available in scripts"
        line, end = node.end_lineno or node.lineno, node.end_col_offset or 0
        column = self._column(line, end - len(node.attr.encode()))
        self.problems.append(problem(line, column, text))
        return self.node_contents_visit(node)

    # ------------------------------------------------------------ functions and annotations

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Visited:
        """Annotations are dropped, so that they are never evaluated."""
        node.returns = None
        self.check_name(node, node.name)
        if getattr(node, "type_params", None):
            self.error(node, "type parameters are not available in scripts; leave them out")
            setattr(node, "type_params", [])  # noqa: B010 - absent before Python 3.12
        return self.node_contents_visit(node)

    def visit_Lambda(self, node: ast.Lambda) -> Visited:
        """Its arguments are checked one by one."""
        return self.node_contents_visit(node)

    def visit_arg(self, node: ast.arg) -> Visited:
        """An argument, at its own place, without its annotation."""
        node.annotation = None
        self.check_name(node, node.arg)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Visited:
        """`x: int = 1` is `x = 1`, `x: int` is nothing."""
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return self.visit(ast.copy_location(ast.Assign(targets=[node.target], value=node.value), node))

    def visit_ClassDef(self, node: ast.ClassDef) -> Visited:
        """Refused, without a list of what is wrong inside."""
        self.not_allowed(node)
        return node

    def visit_With(self, node: ast.With) -> Visited:
        """Refused; what is inside is looked at as well."""
        self.not_allowed(node)
        return self.node_contents_visit(node)

    def visit_TryStar(self, node: Any) -> Visited:
        """Refused; what is inside is looked at as well."""
        self.not_allowed(node)
        return self.node_contents_visit(node)

    def visit_TemplateStr(self, node: ast.AST) -> Visited:
        """Refused: nothing here can render one."""
        self.not_allowed(node)
        return node

    def visit_Interpolation(self, node: ast.AST) -> Visited:
        """Part of a t-string, which has been refused."""
        self.not_allowed(node)
        return node

    # ------------------------------------------------------------ imports

    def visit_Import(self, node: ast.Import) -> Visited:
        """Listed modules only."""
        for alias in node.names:
            if text := imports.refused_module(alias.name):
                self.error(alias, text)
            self.check_name(alias, alias.asname)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> Visited:
        """Listed names of listed modules, and names of libraries."""
        for place, text in imports.refused_names(node):
            self.error(place, text)
        for alias in node.names:
            self.check_name(alias, alias.name if outline.is_of_library(node) else None)
            self.check_name(alias, alias.asname)
        return node

    # ------------------------------------------------------------ assignment in place

    def visit_AugAssign(self, node: ast.AugAssign) -> Visited:
        """`x += v` as the library does it; `t[k] += v` and `t.a += v` with target and key evaluated once."""
        if isinstance(node.op, ast.MatMult):
            self.error(node, "'@=' is not available in scripts")
            return node
        if isinstance(node.target, ast.Name):
            return super().visit_AugAssign(node)
        owner = self.gen_tmp_name()
        before = [_assign(owner, self.visit(node.target.value))]
        if isinstance(node.target, ast.Subscript):
            key = self.gen_tmp_name()
            before.append(_assign(key, self.visit(node.target.slice)))
            old = _call("_getitem_", _load(owner), _load(key))
            target = ast.Subscript(_call("_write_", _load(owner)), _load(key), ast.Store())
        else:
            self.visit_Attribute(
                ast.copy_location(ast.Attribute(_load("x"), node.target.attr, ast.Load()), node.target)
            )
            old = _call("_getattr_", _load(owner), ast.Constant(node.target.attr))
            target = ast.Attribute(_call("_write_", _load(owner)), node.target.attr, ast.Store())
        sign = ast.Constant(_SIGNS[type(node.op)])
        statements = [*before, ast.Assign([target], _call("_inplacevar_", sign, old, self.visit(node.value)))]
        for statement in statements:
            copy_locations(statement, node)
        return statements

    # ------------------------------------------------------------ match

    def visit_Match(self, node: ast.Match) -> Visited:
        """Allowed; class patterns have no visitor here: they would read attributes behind the guard."""
        return self.node_contents_visit(node)

    def visit_match_case(self, node: ast.match_case) -> Visited:
        """One case."""
        return self.node_contents_visit(node)

    def visit_MatchValue(self, node: ast.MatchValue) -> Visited:
        """A literal; a dotted name would be read behind the guard."""
        return self._literal_pattern(node, [node.value])

    def visit_MatchMapping(self, node: ast.MatchMapping) -> Visited:
        """Its keys are literals too."""
        self.check_name(node, node.rest)
        return self._literal_pattern(node, node.keys)

    def _literal_pattern(self, node: ast.pattern, values: list[ast.expr]) -> Visited:
        for value in values:
            if isinstance(value, ast.Attribute):
                self.error(value, "names with dots are not available in patterns; write: case x if x == …")
                return node
        return self.node_contents_visit(node)

    def visit_MatchSingleton(self, node: ast.MatchSingleton) -> Visited:
        """None, True, False."""
        return node

    def visit_MatchSequence(self, node: ast.MatchSequence) -> Visited:
        """[a, b]."""
        return self.node_contents_visit(node)

    def visit_MatchOr(self, node: ast.MatchOr) -> Visited:
        """a | b."""
        return self.node_contents_visit(node)

    def visit_MatchStar(self, node: ast.MatchStar) -> Visited:
        """*rest."""
        self.check_name(node, node.name)
        return node

    def visit_MatchAs(self, node: ast.MatchAs) -> Visited:
        """A name that catches."""
        self.check_name(node, node.name)
        return self.node_contents_visit(node)


def _load(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _assign(name: str, value: Any) -> ast.stmt:
    return ast.Assign([ast.Name(name, ast.Store())], value)


def _call(guard: str, *args: ast.expr) -> ast.Call:
    return ast.Call(_load(guard), list(args), [])
