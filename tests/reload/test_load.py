"""Snapshots whose scripts the jail has checked: sets are in force as a whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from revscript.config import Settings
from revscript.host import sandbox_for
from revscript.reload import Loader, changes
from revscript.snapshot import Script, Snapshot
from tests.instance import make_instance

SCRIPT = "from rules import urgent\n\ndef onEMail(mail):\n    log(urgent(mail.subject))\n"
RULES = "def urgent(text):\n    return 'B 3' in text\n"
ACCOUNT: dict[str, Any] = {
    "address": "einsatz@fuest.example",
    "authentication": {"method": "password", "username": "einsatz", "password": "geheim-17"},
    "receiving": {"protocol": "imap", "host": "imap.fuest.example"},
    "methods": {"script": True},
}


class Desk:
    """An instance and its loader."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self.snapshot = loader.load()

    def save(self, name: str, text: str) -> Snapshot:
        path = self._loader.instance.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return self.load()

    def remove(self, name: str) -> Snapshot:
        (self._loader.instance.root / name).unlink()
        return self.load()

    def load(self) -> Snapshot:
        self.snapshot = self._loader.load(self.snapshot)
        return self.snapshot

    @property
    def script(self) -> Script:
        return self.snapshot.scripts["onEMail.py"]

    @property
    def errors(self) -> list[str]:
        return [str(one) for one in self.snapshot.errors]


@pytest.fixture
def desk(tmp_path: Path) -> Generator[Desk]:
    instance = make_instance(tmp_path, {"post": ACCOUNT}, {"onEMail.py": SCRIPT, "rules.py": RULES})
    sandbox = sandbox_for(Settings())
    yield Desk(Loader(instance, sandbox))
    sandbox.stop()


def test_a_script_and_its_library_are_one_set(desk: Desk) -> None:
    assert desk.errors == []
    assert list(desk.snapshot.scripts) == ["onEMail.py"]
    assert dict(desk.script.libraries) == {"rules": RULES}
    before = desk.snapshot
    desk.save("user_scripts/rules.py", RULES.replace("B 3", "B 4"))
    assert changes(before, desk.snapshot).scripts == {"onEMail.py"}
    assert "B 4" in desk.script.libraries["rules"]


def test_a_broken_library_keeps_the_whole_set(desk: Desk) -> None:
    good = desk.script
    desk.save("user_scripts/rules.py", "def urgent(text):\nreturn True\n")
    desk.save("user_scripts/onEMail.py", SCRIPT + "# newer\n")
    assert desk.script == good  # not the new script with the old library: nobody has ever tried that
    (error,) = desk.snapshot.errors
    assert (error.file, error.place[:6]) == ("user_scripts/rules.py", "line 2")
    assert error.text.endswith("; the last good version stays in force")
    desk.save("user_scripts/rules.py", RULES)
    assert desk.errors == []
    assert desk.script.text == SCRIPT + "# newer\n"


def test_a_name_that_the_library_no_longer_has(desk: Desk) -> None:
    good = desk.script
    desk.save("user_scripts/rules.py", RULES.replace("urgent", "is_urgent"))
    assert desk.script == good
    (error,) = desk.snapshot.errors
    assert (error.file, error.place) == ("user_scripts/onEMail.py", "line 1, column 1")


def test_other_scripts_do_not_suffer(desk: Desk) -> None:
    desk.save("user_scripts/second.py", "def onEMail(mail):\n    pass\n")
    desk.save("user_scripts/rules.py", "x = (\n")
    desk.save("user_scripts/second.py", "def onEMail(mail):\n    log(2)\n")
    assert "log(2)" in desk.snapshot.scripts["second.py"].text


def test_a_table_that_vanishes_keeps_the_set(desk: Desk) -> None:
    desk.save("user_scripts/tables/units.csv", "key;unit\n1;HLF\n")
    desk.save("user_scripts/onEMail.py", "def onEMail(mail):\n    log(tables('units').get('1', 'unit'))\n")
    assert desk.errors == []
    good = desk.script
    assert list(good.tables) == ["units.csv"]
    desk.remove("user_scripts/tables/units.csv")
    assert desk.script == good
    assert "there is no table 'units'" in desk.errors[0]


def test_after_a_start_a_broken_script_is_there_and_refused(tmp_path: Path) -> None:
    instance = make_instance(tmp_path, {"post": ACCOUNT}, {"onEMail.py": "def onEMail(mail:\n"})
    sandbox = sandbox_for(Settings())
    desk = Desk(Loader(instance, sandbox))
    assert desk.snapshot.refused == {"onEMail.py"}
    (error,) = desk.snapshot.errors
    assert error.file == "user_scripts/onEMail.py"
    assert "stays in force" not in error.text
    desk.save("user_scripts/onEMail.py", "def onEMail(mail::\n")
    assert desk.script.text == "def onEMail(mail::\n"  # the older one was no better
    desk.save("user_scripts/onEMail.py", "def onEMail(mail):\n    pass\n")
    assert not desk.snapshot.refused
    assert not desk.errors
    sandbox.stop()


def test_who_watches_a_mailbox_keeps_it(desk: Desk) -> None:
    copy = json.dumps(ACCOUNT)
    desk.save("accounts/a_copy.json", copy)  # first by name, but not first there
    assert list(desk.snapshot.accounts) == ["post"]
    assert 'a_copy.json: receiving: watches the same mailbox as the account "post"' in desk.errors[0]
    other = ACCOUNT | {"authentication": ACCOUNT["authentication"] | {"username": "other"}}
    desk.save("accounts/a_copy.json", json.dumps(other))
    assert list(desk.snapshot.accounts) == ["a_copy", "post"]
    desk.save("accounts/a_copy.json", copy)  # turned into a twin: what it was before stays
    assert desk.snapshot.accounts["a_copy"].mailboxes()[0].username == "other"
    assert desk.errors[0].endswith("; the last good version stays in force")


def test_a_renamed_account_takes_its_mailbox_along(desk: Desk) -> None:
    desk.remove("accounts/post.json")
    desk.save("accounts/renamed.json", json.dumps(ACCOUNT))
    assert list(desk.snapshot.accounts) == ["renamed"]
    assert desk.errors == []


def test_a_mistyped_script_name_keeps_the_account_as_it_was(desk: Desk) -> None:
    desk.save("accounts/post.json", json.dumps(ACCOUNT | {"methods": {"script": {"file": "onEmial.py"}}}))
    assert desk.snapshot.accounts["post"].methods.names() == ("script",)
    assert desk.snapshot.script_of(desk.snapshot.accounts["post"]) == desk.script
    (error,) = desk.snapshot.errors
    assert error.place == "methods.script.file"
    assert error.text == (
        'there is no script user_scripts/onEmial.py; did you mean "onEMail.py"?; the last good version stays in force'
    )
