"""What may be imported: listed names of listed modules, names of libraries (whether those exist, the host looks)."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator

from revscript.jail.scripting.modules import AVAILABLE, MODULES

Refused = tuple[ast.AST, str]  # where, and what to say


def refused_module(name: str) -> str:
    """Why `import name` is refused; empty when it is not."""
    if name in MODULES:
        return ""
    if name == "__future__":
        return "leave out imports from __future__; annotations are never evaluated"
    text = f"module '{name}' is not available to scripts; there are: {AVAILABLE}"
    if "." not in name and name not in sys.stdlib_module_names:
        text += f"; a library is imported like this: from {name} import …"
    return text


def refused_names(node: ast.ImportFrom) -> Iterator[Refused]:
    """What is wrong with `from module import names`."""
    module = node.module or ""
    last = module.rpartition(".")[2] or node.names[0].name
    if node.level:
        yield node, f"relative imports are not available in scripts; write: from {last} import …"
    elif module in MODULES:
        there = dir(MODULES[module])
        for alias in node.names:
            if alias.name != "*" and alias.name not in there:
                text = f"module '{module}' offers no '{alias.name}' to scripts; there are: {', '.join(there)}"
                yield alias, text
    elif module == "__future__":
        yield node, refused_module(module)
    elif "." in module:
        text = f"'{module}': libraries have no dots; put {last}.py into user_scripts and write: from {last} import …"
        yield node, text
    elif module.startswith("_"):
        yield node, f"'{module}' cannot be imported: names of libraries must not begin with '_'"
    for alias in node.names:
        if alias.name == "*" and not node.level:
            yield alias, f"'import *' is not available in scripts; name what you need from {module}"
