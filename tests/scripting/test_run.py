"""Runs: from source to effects, and what is said when they fail."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from revscript.jail.limits import conform_fields
from revscript.jail.scripting.policy import compile_script
from revscript.jail.scripting.run import describe, run_script, warm_up, where
from revscript.jail.wire import ScriptTrouble
from tests.scripting.fake import CONTEXT, FakeSession, reading, run

RECIPE = """
import re

def number(mail):
    return re.search(r"Einsatznummer\\s*:\\s*(.+)", mail.text)[1]

def onEMail(mail):
    if not mail.is_from("@leitstelle.example"):
        return mail.ignore("fremder Absender")
    mission, change = missions.upsert(number(mail), keyword="B 3", units=["Florian 1"])
    mission.folder.add(mail.attachments)
    documents.incoming(mail, mission=mission, subject=f"{mission.keyword} Halle", priority="sofort")
    if change.created:
        notify.all(f"{mission.keyword}: {change}", level="alarm")
    elif change:
        notify.role("S3", f"Folgealarm: {change}", level="alarm")
"""


def trouble(body: str) -> ScriptTrouble:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - any
        run(body)
    found = describe(caught.value)
    conform_fields(found)
    return found


def frames(found: ScriptTrouble) -> list[tuple[int, str]]:
    return [(frame.line, frame.function) for frame in found.frames]


def test_recipe() -> None:
    kinds = [effect.effect for effect in run(RECIPE).effects]
    assert kinds == ["upsert_mission", "add_to_folder", "file_form", "notify"]


def test_warm_up_works_twice_and_runs_the_golden_script() -> None:
    warm_up()
    warm_up()


LATER = """
import sys
from revscript.jail.scripting import golden, run
run.warm_up()
loaded = set(sys.modules)
sys.meta_path.clear()  # from here on, nothing can be loaded
run.run_golden()
try:
    run.run_script(run.compile_script(golden.FAILING), golden.READING, golden.CONTEXT, golden.Deaf())
except AttributeError as error:
    run.describe(error)
assert set(sys.modules) == loaded, set(sys.modules) - loaded
strange = {"socket", "ssl", "sqlite3", "sqlalchemy", "pydantic", "subprocess", "ctypes", "threading"}
print(*sorted(strange & loaded))
"""


def test_nothing_is_loaded_after_the_warm_up() -> None:
    ran = subprocess.run([sys.executable, "-W", "error", "-c", LATER], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert set(ran.stdout.split()) <= {"threading"}


def test_body_runs_before_the_function() -> None:
    assert run("log(1)\ndef onEMail(mail):\n    log(2)").lines == ["1", "2"]


def test_runs_do_not_share_anything() -> None:
    code = compile_script("seen = []\ndef onEMail(mail):\n    seen.append(1)\n    log(len(seen))")
    session = FakeSession()
    for _ in range(2):
        run_script(code, reading(), CONTEXT, session)
    assert session.lines == ["1", "1"]


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("def onEMail(mail):\n    yield 1", "must not contain yield"),
        ("def onEMail(mail):\n    pass\nonEMail = 5", "must be a function of this script"),
        (
            "import re\ndef onEMail(mail):\n    pass\nonEMail = re.compile",
            "must be a function of this script",
        ),
        ("def onEMail(mail):\n    pass\ndel onEMail", "must be a function of this script"),
    ],
)
def test_entry_must_be_an_ordinary_function(script: str, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        run(script)


def test_decorated_entry() -> None:
    assert run("def d(f):\n    return lambda m: f(m)\n@d\ndef onEMail(mail):\n    log(1)").lines == ["1"]


def test_frames_are_the_scripts_own() -> None:
    script = "def helper(d):\n    return d['nope']\n\ndef onEMail(mail):\n    helper({})"
    found = trouble(script)
    assert (found.type, found.text) == ("KeyError", "'nope'")
    assert frames(found) == [(5, "onEMail"), (2, "helper")]


def test_frames_skip_the_library() -> None:
    found = trouble("import re\ndef onEMail(mail):\n    re.sub('a', lambda m: 1 / 0, 'a')")
    assert frames(found) == [(3, "onEMail"), (3, "<lambda>")]


def test_error_of_a_guard_has_the_scripts_line() -> None:
    found = trouble("x = 1\nnotify.all('x', level='x')")
    assert (found.type, frames(found)) == ("ValueError", [(3, "onEMail")])


def test_error_in_the_body() -> None:
    assert frames(trouble("x = 1\ny = 1 / 0\ndef onEMail(mail):\n    pass")) == [(2, "<module>")]


def test_deep_recursion_and_long_texts() -> None:
    found = trouble("def f():\n    f()\ndef onEMail(mail):\n    f()")
    assert (found.type, len(found.frames)) == ("RecursionError", 20)
    found = trouble("raise ValueError('x\\x00\\ud800' * 5000)")
    assert len(found.text) == 2000
    found = trouble("x = []\nfor i in range(100000):\n    x = [x]\nraise ValueError(x)")
    assert "without a text" in found.text


def test_own_exceptions_and_asserts() -> None:
    assert trouble("raise ValueError('a', 1) from None").text == "('a', 1)"
    assert trouble("assert False, 'weil'").text == "weil"
    assert trouble("import json\njson.loads('{')").type == "JSONDecodeError"


def test_where() -> None:
    found: list[Any] = []

    class Watching(FakeSession):
        def log(self, text: str) -> None:
            found.append(where(sys._getframe()))

    run("def helper():\n    log(1)\n\ndef onEMail(mail):\n    helper()", Watching())
    assert [(frame.line, frame.function) for frame in found[0]] == [(5, "onEMail"), (2, "helper")]
    assert where(None) == ()
