"""Somebody who edits scripts, libraries, tables and accounts without pause, in all the ways in which people do.

Each file carries its version. `states` is every state of the files that was whole at some moment: what a run used must
be one of them.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

SCRIPT = """# version {number}
from rules import version as rules

def onEMail(mail):
    documents.incoming(mail, subject=mail.subject)
    mail.label(f"script {number}, rules {{rules()}}, table {{tables('units').get('version', 'value')}}")
"""
LIBRARY = '''"""version {number}"""

def version():
    return {number}
'''
TABLE = "key;value\nversion;{number}\n"
BROKEN = {
    "user_scripts/onEMail.py": "def onEMail(mail:\n    pass\n",
    "user_scripts/rules.py": "def version():\nreturn 1\n",
    "accounts/a.json": '{"address": "a@post.example",,}',
    "accounts/b.json": '{"address": "nobody"}',
}

State = tuple[int, int, int]  # versions of script, library and table


class Editor:
    """Edits an instance's files at random; `account` gives the content of an account's file."""

    def __init__(self, root: Path, account: Callable[[str], dict[str, Any]], seed: int) -> None:
        self._root = root
        self._account = account
        self._random = random.Random(seed)
        self._texts = {"user_scripts/onEMail.py": SCRIPT, "user_scripts/rules.py": LIBRARY}
        self._texts["user_scripts/tables/units.csv"] = TABLE
        self._versions = dict.fromkeys(self._texts, 0)
        self._whole = dict.fromkeys(self._texts, True)
        self.ages: dict[str, float] = dict.fromkeys(("a", "b"), 30)
        self.states: set[State] = set()
        self.log: list[str] = []
        for name in self._texts:
            self._write(name, self._text(name))
        for name in self.ages:
            self._write(f"accounts/{name}.json", self._account_text(name))
        self._note()

    @property
    def state(self) -> State:
        """The versions that lie there now."""
        script, library, table = self._versions.values()
        return script, library, table

    def edit(self) -> None:
        """One edit of one file."""
        kind = self._random.choice(
            (self._save, self._save, self._save, self._touch, self._break, self._delete, self._rename, self._swap)
        )
        name = self._random.choice([*self._texts, *(f"accounts/{one}.json" for one in self.ages)])
        self.log.append(f"{kind.__name__} {name}")
        kind(name)
        self._note()

    def mend(self) -> None:
        """The last state: everything whole and new."""
        for name in [*self._texts, *(f"accounts/{one}.json" for one in self.ages)]:
            self._save(name)
        self._note()

    # ------------------------------------------------------------ kinds of edits

    def _save(self, name: str) -> None:
        """A new version: written in place, or as a new file that takes the old one's place."""
        if name in self._texts:
            self._versions[name] += 1
            self._whole[name] = True
            self._write(name, self._text(name))
        else:
            account = Path(name).stem
            self.ages[account] += 1
            self._write(name, self._account_text(account))

    def _write(self, name: str, text: str) -> None:
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.swp")
        partial.write_text(text)
        partial.replace(path)

    def _touch(self, name: str) -> None:
        if (self._root / name).exists():
            os.utime(self._root / name)

    def _break(self, name: str) -> None:
        text = BROKEN.get(name, "")
        if text:
            if name in self._whole:
                self._whole[name] = False
            self._write(name, text)

    def _delete(self, name: str) -> None:
        if name not in BROKEN or name.startswith("accounts"):
            return self._save(name)  # whoever deletes an account or a table wants it gone
        (self._root / name).unlink(missing_ok=True)
        self._whole[name] = False
        return None

    def _rename(self, name: str) -> None:
        """Away and back; or the whole folder."""
        folder = (self._root / name).parent
        aside = folder.with_name(f"{folder.name}.aside")
        folder.rename(aside)
        if self._random.random() < 0.5:
            aside.rename(folder)
        else:
            shutil.copytree(aside, folder)
            shutil.rmtree(aside)

    def _swap(self, name: str) -> None:
        """What editors leave beside a file."""
        path = self._root / name
        for other in (f"{path.name}~", f".{path.name}.swp", "4913"):
            (path.parent / other).write_text("x")
            (path.parent / other).unlink()

    # ------------------------------------------------------------ what is whole

    def _text(self, name: str) -> str:
        return self._texts[name].format(number=self._versions[name])

    def _account_text(self, name: str) -> str:
        return json.dumps(self._account(name) | {"max_age": self.ages[name]})

    def _note(self) -> None:
        if all(self._whole.values()):
            self.states.add(self.state)
