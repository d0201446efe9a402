"""Which Python is accepted, and where and how the rest is refused."""

from __future__ import annotations

import pytest

from revscript.jail.limits import conform_fields
from revscript.jail.scripting.policy import MAX_SOURCE, PolicyRefused, compile_script
from tests.scripting.fake import run

ENTRY = "def onEMail(mail):\n    pass\n"


def refused(source: str, entry: str = ENTRY) -> list[tuple[int | None, int | None, str]]:
    with pytest.raises(PolicyRefused) as caught:
        compile_script(source + "\n" + entry)
    for problem in caught.value.problems:
        conform_fields(problem)
    return [(problem.line, problem.column, problem.text) for problem in caught.value.problems]


ACCEPTED = [
    ("a, *b = [1, 2, 3]\nlog(a, b)", "1 [2, 3]"),
    ("log(f'{1:>3}', [x for x in range(3) if x], {k: v for k, v in [(1, 2)]}, {1})", "  1 [1, 2] {1: 2} {1}"),
    ("f = lambda x, /, *, y=2: x + y\nlog(f(1))", "3"),
    ("def f(a: int, *b: str, c: 'x' = 1, **d: int) -> 'gone':\n    return a + c\nlog(f(1))", "2"),
    ("def twice(f):\n    return lambda x: f(f(x))\n@twice\ndef add(x):\n    return x + 1\nlog(add(1))", "3"),
    (
        "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    log('x', e)\nelse:\n    pass\nfinally:\n    log('end')",
        "end",
    ),
    ("def g():\n    yield 1\n    yield from [2]\nlog(list(g()))", "[1, 2]"),
    ("if (n := len('ab')) > 1:\n    log(n)", "2"),
    ("log(1 if not 0 else 2, [1, 2, 3][::-1], (1, 2)[0])", "1 [3, 2, 1] 1"),
    ("x = 1\ndef f():\n    nonlocal x\n    x += 1\nf()\nlog(x)", "2"),
    ("d = {'a': 1}\nd['a'] += 2\nd['b'] = d['a']\ndel d['a']\nlog(d)", "{'b': 3}"),
    (
        "rows = [[1], [2]]\nrows[0][0] *= 5\nrows[1] += [3]\nrows[0][:] += [6]\nlog(rows)",
        "[[5, 6], [2, 3]]",
    ),
    ("x: int = 1\ny: list[nothing.at.all]\nlog(x)", "1"),
    ("assert mail\nwhile True:\n    break\nelse:\n    pass\nlog('ok')", "ok"),
    ("for i, (a, b) in enumerate([(1, 2)]):\n    continue\nlog(i, a, b)", "0 1 2"),
    ("match [1, 2, 3]:\n    case [1, *rest] if rest:\n        log(rest)", "[2, 3]"),
    (
        "match {'a': 1, 'b': None}:\n    case {'a': 1 | 2 as n, **more}:\n        log(n, more)",
        "1 {'b': None}",
    ),
    ("match -1:\n    case None | True:\n        pass\n    case -1:\n        log('minus')", "minus"),
    ("def f(*a, **k):\n    return a, k\nlog(f(*[1], **{'b': 2}))", "((1,), {'b': 2})"),
    (
        "import re, urllib.parse\nimport urllib.parse as up\nlog(urllib.parse.quote('ä'), up.unquote('%41'))",
        "%C3%A4 A",
    ),
    ("from datetime import datetime as dt, timedelta\nlog(timedelta(1))", "1 day, 0:00:00"),
    ("log('\\d', 1 is 1)", "\\d True"),
    ("type = 'alarm'\nlog(type)", "alarm"),
    ("log(print == log, _ if (_ := 5) else 0)", "True 5"),
]


@pytest.mark.parametrize(("body", "line"), ACCEPTED)
def test_accepted(body: str, line: str) -> None:
    assert run(body).lines[-1] == line


def test_global_and_module_level() -> None:
    script = "n = 0\nd = {}\nd['x'] = 1\nd['x'] += 1\ndef onEMail(mail):\n    global n\n    n += 1\n    log(n, d)"
    assert run(script).lines == ["1 {'x': 2}"]


REFUSED = [
    ("class A:\n    def __init__(self): self.x = 1", 1, 1, "use functions and dicts"),
    ("x = 1\nwith x as y:\n    pass", 2, 1, "'with' is not available"),
    ("async def f():\n    pass", 1, 1, "ordinary function"),
    ("try:\n    pass\nexcept* ValueError:\n    pass", 1, 1, "use 'except'"),
    ("match 1:\n    case int(x):\n        pass", 2, 10, "use isinstance()"),
    ("match 1:\n    case {'a': [object(gi_frame=f)]}:\n        pass", 2, 17, "class patterns"),
    ("match 1:\n    case a.b:\n        pass", 2, 10, "case x if x =="),
    ("match {}:\n    case {a.b: 1}:\n        pass", 2, 11, "case x if x =="),
    ("match 1:\n    case _x:\n        pass", 2, 10, "must not begin with '_'"),
    ("match 1:\n    case [*_x]:\n        pass", 2, 11, "must not begin with '_'"),
    ("match 1:\n    case {**_x}:\n        pass", 2, 10, "must not begin with '_'"),
    ("x = ().__class__", 1, 8, "'.__class__' is internal"),
    ("ä = 'ö'; x = ä.__class__", 1, 16, "'.__class__' is internal"),
    ("x = (n for n in ()).gi_frame", 1, 21, "'.gi_frame' is internal"),
    ("x = mail.a.f_globals.b", 1, 12, "'.f_globals' is internal"),
    ("del mail._x", 1, 10, "'._x' is internal"),
    ("mail._x += 1", 1, 6, "'._x' is internal"),
    ("_getattr_ = 1", 1, 1, "must not begin with '_'"),
    ("x = ().__ｃlass__", 1, 10, "'.__class__' is internal"),
    ("def f(_getattr_, /): pass", 1, 7, "must not begin with '_'"),
    ("def f(a, *_b, **_c): pass", 1, 11, "must not begin with '_'"),
    ("f = lambda _x: 1", 1, 12, "must not begin with '_'"),
    ("def _f(): pass", 1, 1, "must not begin with '_'"),
    ("def f():\n    global _x", 2, 5, "must not begin with '_'"),
    ("try:\n    pass\nexcept ValueError as _x:\n    pass", 3, 1, "must not begin with '_'"),
    ("x = __builtins__", 1, 5, "must not begin with '_'"),
    ("if __name__ == '__main__': pass", 1, 4, "is called by itself"),
    ("[_x for _x in ()]", 1, 2, "must not begin with '_'"),
    ("(_x := 1)", 1, 2, "must not begin with '_'"),
    ("import os", 1, 8, "module 'os' is not available to scripts; there are: base64, "),
    ("import re, sys as s", 1, 12, "module 'sys'"),
    ("import urllib", 1, 8, "module 'urllib'"),
    ("from re import compile, Scanner", 1, 25, "module 're' offers no 'Scanner'"),
    ("from re import compile as _getattr_", 1, 16, "must not begin with '_'"),
    ("from math import *", 1, 18, "'import *'"),
    ("from . import x", 1, 1, "relative imports"),
    ("from .re import x", 1, 1, "relative imports"),
    ("from __future__ import annotations", 1, 1, "leave out imports from __future__"),
    ("x = 1\nx @= 2", 2, 1, "'@='"),
    ("x = open('a')", 1, 5, "open is not available in scripts; scripts have no files"),
    ("x = type(1)", 1, 5, "use isinstance()"),
    ("x = eval('1')", 1, 5, "eval is not available"),
    ("try:\n    pass\nexcept BaseException:\n    pass", 3, 8, "use Exception"),
    ("x = 'a\u202eb'", 1, 7, "U+202E makes text look other than it is"),
    ("x = 1 # \u2066", 1, 9, "U+2066"),
    ("\n\nx = '\ud800'", 3, 6, "U+D800"),
    ("x = (", 1, 5, "'(' was never closed"),
    ("x = 1\n  y = 2", 2, 2, "unexpected indent"),
    ("return 1", 1, 1, "'return' outside function"),
    ("x = 1\0", None, None, "null bytes"),
    ("x = " + "(" * 500, None, None, "too many nested"),
    ("x = " + "-" * 100_000 + "1", None, None, "the script cannot be read"),
    ("x = '" + "ä" * (MAX_SOURCE // 2) + "'", None, None, "256 kB"),
]


@pytest.mark.parametrize(("source", "line", "column", "text"), REFUSED)
def test_refused(source: str, line: int | None, column: int | None, text: str) -> None:
    problems = refused(source)
    assert any(text in problem[2] for problem in problems), problems
    if line is not None:
        assert (line, column) in [problem[:2] for problem in problems if text in problem[2]]


def test_all_problems_at_once_in_order() -> None:
    found = refused("import os\nx = a.__b__\nclass C: pass\nwith x: y = z.__q__")
    assert [problem[0] for problem in found] == [1, 2, 3, 4, 4]


def test_at_most_50() -> None:
    assert len(refused("import os\n" * 80)) == 50


@pytest.mark.parametrize("source", ["", "x = 1", "onEMail = 1", "if 1:\n    def onEMail(mail): pass"])
def test_entry_is_needed(source: str) -> None:
    assert refused(source, "") == [(1, 1, "the script has no function; write: def onEMail(mail):")]


def test_line_ends_and_byte_order_mark() -> None:
    assert compile_script("\ufeffx = 1\r\n\r\ndef onEMail(mail):\r\n    pass\r\n")
    assert refused("x = 1\r\n\r\nimport os\r")[0][:2] == (3, 8)


def test_type_parameters_are_refused_where_the_parser_knows_them() -> None:
    assert refused("def f[T](x): pass")
    assert refused("type X = int")


def test_message_names_places() -> None:
    with pytest.raises(PolicyRefused, match=r"line 1, column 8: module 'os'"):
        compile_script("import os\n" + ENTRY)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("def onEMail():\n    pass", "onEMail gets one argument, the mail"),
        ("def onEMail(mail, more):\n    pass", "onEMail gets one argument, the mail"),
        ("def onEMail(mail, *, must):\n    pass", "onEMail gets one argument, the mail"),
        ("def onEmail(mail):\n    pass", "there is onEmail, but the script has no function; write: def onEMail(mail):"),
        ("def onEMail(mail):\n    if mail.is_test:\n        pass", "is_test is a method; write: .is_test()"),
        ("def onEMail(mail):\n    return not mail.is_from", "is_from is a method"),
    ],
)
def test_what_would_go_wrong_on_the_day_of_the_alarm(source: str, text: str) -> None:
    ((_, _, said),) = refused(source, entry="")
    assert text in said


@pytest.mark.parametrize("arguments", ["mail", "mail, more=1", "*mails", "mail, /, *, level='alarm'"])
def test_a_function_that_takes_the_mail(arguments: str) -> None:
    assert compile_script(f"def onEMail({arguments}):\n    pass\n")
