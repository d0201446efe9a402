"""What the rewritten script calls instead of Python's own operations, and the builtins it has.

SECURITY: RestrictedPython turns `a.b`, `a[b] = c`, `a += b`, `import a` … into calls of these functions. They
decide by exact type (`offers.py`) and raise errors that hold text only.
"""

from __future__ import annotations

import builtins
import importlib
import operator
from collections.abc import Callable, Mapping
from typing import Any

from RestrictedPython import Guards

from revscript.jail.scripting import modules, offers

_LIBRARY: Any = Guards  # its functions carry no types
_MISSING: Any = object()

_WRITABLE = frozenset(cls for cls in offers.OFFERS if cls in (dict, list) or cls.__module__ == "collections")

_INPLACE: dict[str, Callable[[Any, Any], Any]] = {
    "+=": operator.iadd,
    "-=": operator.isub,
    "*=": operator.imul,
    "/=": operator.itruediv,
    "//=": operator.ifloordiv,
    "%=": operator.imod,
    "**=": operator.ipow,
    "|=": operator.ior,
    "&=": operator.iand,
    "^=": operator.ixor,
    "<<=": operator.ilshift,
    ">>=": operator.irshift,
}

# C code that imports lazily (strftime, strptime, Pattern.sub, huge integers …) does so through the
# `__import__` of the frame that called it, which is the script's guarded one, with an empty *list* of names.
# No script can make that call (the compiler passes None or a tuple, and the name `__import__` is refused),
# and the C code keeps the module to itself.
_C_IMPORTS = offers.names(
    "time _strptime re _pylong datetime _decimal numbers collections functools warnings unicodedata"
)

_BUILTINS = offers.names(
    """abs all any bool bytes callable chr dict divmod enumerate filter float frozenset hex int isinstance
    issubclass iter len list map max min next oct ord pow range repr reversed round set slice sorted str sum
    tuple zip None True False Ellipsis
    ArithmeticError AssertionError AttributeError Exception ImportError IndexError KeyError LookupError
    MemoryError NameError NotImplementedError OverflowError RecursionError RuntimeError StopIteration
    TimeoutError TypeError UnicodeDecodeError UnicodeEncodeError UnicodeError ValueError ZeroDivisionError"""
)


def get_attribute(value: Any, name: Any, default: Any = _MISSING) -> Any:
    """`value.name` and `getattr(value, name)`: what `offers` lists for the exact type of the value."""
    if type(name) is not str:
        raise TypeError("the name of an attribute must be text")
    if name in offers.offered(value):
        return getattr(value, name) if default is _MISSING else getattr(value, name, default)
    if default is _MISSING:
        raise AttributeError(offers.refusal(value, name))
    return default


def has_attribute(value: Any, name: Any) -> bool:
    """`hasattr(value, name)`."""
    absent = object()
    return get_attribute(value, name, absent) is not absent


def writable(value: Any) -> Any:
    """The value itself if scripts may change it: `value[key] = …`, `value.name = …`, `del value[key]`."""
    if type(value) in _WRITABLE:
        return value
    raise TypeError(f"a {type(value).__name__} cannot be changed by scripts")


def in_place(sign: str, old: Any, value: Any) -> Any:
    """`old += value` and its eleven sisters."""
    return _INPLACE[sign](old, value)


def _same(value: Any) -> Any:
    return value


def _call(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)


def import_module(
    name: str, _globals: object = None, _locals: object = None, fromlist: Any = (), level: int = 0
) -> Any:
    """`import name`: the proxy of a listed module."""
    if type(fromlist) is list and not fromlist and name in _C_IMPORTS:
        return importlib.import_module(name)
    if level or name not in modules.MODULES:
        raise ImportError(f"module '{name}' is not available to scripts; there are: {modules.AVAILABLE}")
    if not fromlist and "." in name:
        return modules.PACKAGES[name.partition(".")[0]]
    return modules.MODULES[name]


BUILTINS: dict[str, Any] = {name: getattr(builtins, name) for name in _BUILTINS} | {
    "getattr": get_attribute,
    "hasattr": has_attribute,
    "__import__": import_module,
}


def script_globals(api: Mapping[str, Any], title: str, importer: Callable[..., Any]) -> dict[str, Any]:
    """The global names of a script or library: its objects, the guards, and a set of builtins of its own."""
    return {
        **api,
        "__builtins__": BUILTINS | {"__import__": importer},
        "__name__": title,
        "_apply_": _call,
        "_getattr_": get_attribute,
        "_getitem_": operator.getitem,
        "_getiter_": _same,
        "_inplacevar_": in_place,
        "_iter_unpack_sequence_": _LIBRARY.guarded_iter_unpack_sequence,
        "_unpack_sequence_": _LIBRARY.guarded_unpack_sequence,
        "_write_": writable,
    }
