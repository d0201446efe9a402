"""What a script cannot reach, and what it is told instead."""

from __future__ import annotations

import types
from typing import Any

import pytest

from revscript.jail.scripting import guards, modules, offers
from tests.scripting.fake import run, value_of

# Each is accepted by the policy; the guard at run time says no.
REFUSED = [
    ("getattr(mail, '__class__')", AttributeError, "offers no '__class__'"),
    ("getattr(mail, '_desk')", AttributeError, "offers no '_desk'"),
    ("getattr((n for n in ()), 'gi_frame')", AttributeError, "generator offers no 'gi_frame'"),
    ("(n for n in ()).send(1)", AttributeError, "offers no 'send'"),
    ("getattr(onEMail, '__globals__')", AttributeError, "function offers no"),
    ("getattr(log, '__self__')", AttributeError, "method offers no"),
    ("'{0.x}'.format(mail)", AttributeError, "use an f-string"),
    ("'{x}'.format_map({})", AttributeError, "use an f-string"),
    ("str.format('{}', 1)", AttributeError, "use an f-string"),
    ("list(map(getattr, [mail], ['__class__']))", AttributeError, "__class__"),
    ("mail.sujbect", AttributeError, "Mail offers no 'sujbect' to scripts; did you mean 'subject'?"),
    ("mail.attachments[0].nmae", AttributeError, "did you mean 'name'?"),
    ("missions.updsert", AttributeError, "did you mean 'upsert'?"),
    ("missions.find('nothing').title", AttributeError, "None has no 'title'"),
    ("mail.subject.uper()", AttributeError, "str offers no 'uper' to scripts; did you mean 'upper'?"),
    ("mail.attachments[0].text()", AttributeError, "offers no 'text'"),
    ("mail.headers.get('x')", AttributeError, "Headers offers no 'get'"),
    ("getattr(mail, 1)", TypeError, "must be text"),
    ("mail.headers[0]", TypeError, "a header's name"),
    ("len(mail.headers)", TypeError, "no len"),
    ("int.mro()", AttributeError, "int offers no 'mro'"),
    ("ValueError('x').with_traceback(None)", AttributeError, "with_traceback"),
    ("isinstance(1, list[int])", TypeError, "isinstance"),
    ("list[int].mro", AttributeError, "GenericAlias"),
    ("mail()", TypeError, "not callable"),
]


@pytest.mark.parametrize(("expression", "error", "text"), REFUSED)
def test_refused(expression: str, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        run(f"x = {expression}")
    assert text in str(caught.value)
    assert all(type(item) is str for item in caught.value.args)


@pytest.mark.parametrize(
    "statement",
    [
        "mail.subject = 'x'",
        "mail.subject += 'x'",
        "mail.headers['X'] = 'x'",
        "del mail.headers['X']",
        "log.x = 1",
        "onEMail.x = 1",
        "t = (1, 2)\n    t[0] = 1",
        "missions.running()[0].fields['title'] = 'x'",
        "import re\n    re.compile = 1",
        "str.upper = 1",
    ],
)
def test_not_to_be_changed(statement: str) -> None:
    session = run("missions.upsert('1')")
    with pytest.raises(TypeError, match="cannot be changed by scripts"):
        run(f"missions.upsert('1', title='x')\nif 1:\n    {statement}", session)


def test_exceptions_carry_no_frames() -> None:
    names = ("__traceback__", "__context__", "__cause__", "obj", "name", "add_note")
    for name in names:
        with pytest.raises(AttributeError, match=f"ZeroDivisionError offers no '{name}'"):
            run(f"try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    getattr(e, '{name}')")
    assert value_of("[hasattr(ValueError(), name) for name in ('args', '__traceback__')]") == "[True, False]"


def test_getattr_default_and_hasattr() -> None:
    assert value_of("getattr(mail, 'nothing', 5), hasattr(mail, 'id'), hasattr(mail, '_desk')") == ("5 True False")


@pytest.mark.parametrize("name", ["now", "today", "utcnow"])
def test_the_clock_is_now(name: str) -> None:
    with pytest.raises(AttributeError, match=r"use now\(\), the run's time"):
        run(f"from datetime import datetime\ndatetime.{name}()")
    with pytest.raises(AttributeError, match="offers no"):
        run(f"now().{name}()")


def test_import_is_guarded_at_run_time_too() -> None:
    calls: list[tuple[Any, ...]] = [("os",), ("time", None, None, ()), ("re", None, None, ("x",), 1)]
    for call in calls:
        with pytest.raises(ImportError):
            guards.import_module(*call)
    assert type(guards.import_module("re", None, None, ("compile",))) is offers.Namespace


def test_imports_of_c_code_pass() -> None:
    assert isinstance(guards.import_module("time", None, None, []), types.ModuleType)
    with pytest.raises(ImportError):
        guards.import_module("os", None, None, [])
    assert value_of("f'{now():%d.%m. %H:%M}', now().strftime('%j')") == "01.03. 13:01 060"


def test_modules_are_proxies_without_a_name() -> None:
    for proxy in modules.MODULES.values():
        assert type(proxy) is offers.Namespace
        assert not hasattr(proxy, "__name__")
        assert not hasattr(proxy, "__spec__")
    with pytest.raises(AttributeError, match=r"<module re> offers no 'enum'"):
        run("import re\nre.enum")
    with pytest.raises(AttributeError, match=r"<module re> offers no '_contents'"):
        run("import re\ngetattr(re, '_contents')")


def test_zones() -> None:
    assert run("from zoneinfo import ZoneInfo\nlog(ZoneInfo('Europe/Vienna'))").lines == ["Europe/Vienna"]
    with pytest.raises(ValueError, match="not available to scripts"):
        run("from zoneinfo import ZoneInfo\nZoneInfo('../../etc/passwd')")


def test_names_and_builtins_are_fresh_in_each_run() -> None:
    session = run("global list\nlist = 5\nlog(list)")
    assert run("log(list is not 5, list('a'))", session).lines[-1] == "True ['a']"


def test_no_dangerous_builtins() -> None:
    banned = "open eval exec compile type object super globals locals vars dir input setattr memoryview hash id"
    assert not set(banned.split()) & set(guards.BUILTINS)
    exceptions = [
        item for item in guards.BUILTINS.values() if isinstance(item, type) and issubclass(item, BaseException)
    ]
    assert all(
        issubclass(item, Exception) and not issubclass(item, OSError | BaseExceptionGroup)
        for item in exceptions
        if item is not TimeoutError
    )


@pytest.mark.parametrize("callable_", ["log", "now", "send_mail", "missions.find", "notify.all", "mail.search"])
def test_own_callables_show_no_address(callable_: str) -> None:
    assert "0x" not in value_of(f"repr({callable_})")


def test_wrong_table_entries_would_be_noticed() -> None:
    value: Any = object()
    assert offers.offered(value) == frozenset()
    assert offers.offered(types) == frozenset()
