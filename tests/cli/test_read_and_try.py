"""`revscript read` and `revscript try`: exact shapes, exit codes, and where answers come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from revscript.jail.effects import Notify
from revscript.snapshot import Instance
from tests.cli.command import Done, no_traceback, revscript
from tests.instance import make_instance

MAIL = """\
From: =?utf-8?q?Leitstelle_M=C3=BCsterland?= <alarm@leitstelle.example>
To: einsatz@fuest.example
Cc: Stab <stab@fuest.example>
Subject: B 3 Beispielweg 7
Date: Sun, 1 Mar 2026 12:00:00 +0100
Message-ID: <1@leitstelle.example>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=x

--x
Content-Type: text/plain; charset=utf-8

Stichwort: B\u2028 3
--x
Content-Type: application/octet-stream; name="fax.pdf"
Content-Disposition: attachment; filename="fax.pdf"
Content-Transfer-Encoding: base64

JVBERi0xLjQK
--x--
"""

SCRIPT = """\
def onEMail(mail):
    log(mail.account, now().isoformat(), mail.late, len(missions.running()))
    if "B 3" in mail.subject:
        notify.all(mail.subject, level="alarm", key="k")
    elif not mail.subject:
        mail.ignore("leer")
"""

FAILING = """\
def onEMail(mail):
    notify.all("x")
    value(mail)


def value(mail):
    return {}["Stichwort"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Mails and scripts in a folder that is no instance."""
    (tmp_path / "alarm.eml").write_text(MAIL, newline="\r\n")
    (tmp_path / "other.eml").write_text("Subject: Hallo\n\nText\n")
    (tmp_path / "empty.eml").write_text("")
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "failing.py").write_text(FAILING)
    (tmp_path / "refused.py").write_text("import os\ndef onEMail(mail):\n    pass\n")
    return tmp_path


def test_read_is_exact(folder: Path) -> None:
    done = revscript("read", "--json", "alarm.eml", "empty.eml", cwd=folder)
    assert (done.code, done.err) == (0, "")
    alarm, empty = done.rows
    headers = dict(alarm.pop("headers"))
    assert headers["From"] == "Leitstelle Müsterland <alarm@leitstelle.example>"
    assert "B" in alarm.pop("text")
    assert alarm.pop("attachments") == [
        {
            "name": "fax.pdf",
            "type": "application/pdf",
            "declared_type": "application/octet-stream",
            "size": 9,
            "sha256": "e5c62df5dab5c87b6a015ef3d43597074d1eec433b15f51aec63b8582d0e4ab4",
            "inline": False,
        }
    ]
    assert alarm == {
        "file": "alarm.eml",
        "subject": "B 3 Beispielweg 7",
        "from": {"address": "alarm@leitstelle.example", "name": "Leitstelle Müsterland"},
        "to": [{"address": "einsatz@fuest.example", "name": ""}],
        "cc": [{"address": "stab@fuest.example", "name": "Stab"}],
        "date": "2026-03-01T12:00:00+01:00",
        "message_id": "1@leitstelle.example",
        "html": "",
        "defects": [],
    }
    assert empty["from"] is None
    assert list(empty) == [
        *("file", "subject", "from", "to", "cc", "date", "message_id"),
        *("text", "html", "headers", "attachments", "defects"),
    ]


def test_read_goes_on_after_a_missing_file(folder: Path) -> None:
    done = revscript("read", "missing.eml", "alarm.eml", cwd=folder)
    assert (done.code, done.err) == (1, "error: missing.eml: No such file or directory\n")
    assert "  From:       Leitstelle Müsterland <alarm@leitstelle.example>\n" in done.out
    assert "  Attachment: fax.pdf (application/pdf, 9 bytes)\n" in done.out


def test_try_is_exact(folder: Path) -> None:
    now = "2026-03-01T12:01:00+01:00"
    done = revscript("try", "script.py", "alarm.eml", "other.eml", "empty.eml", "--now", now, "--json", cwd=folder)
    assert (done.code, done.err) == (0, "")
    assert [row["exit"] for row in done.rows] == ["done", "unhandled", "ignored"]
    alarm = done.rows[0]
    assert alarm.pop("cpu_ms") >= 0
    args = {"audience": "all", "name": "", "text": "B 3 Beispielweg 7", "level": "alarm", "key": "k", "about": None}
    words = Notify(audience="all", text="B 3 Beispielweg 7", level="alarm").words()
    assert alarm == {
        "file": "alarm.eml",
        "exit": "done",
        "effects": [{"effect": "notify", "args": args, "words": words}],
        "log": [f" {now} False 0"],
        "error": None,
    }


def test_try_shows_the_line_that_failed(folder: Path) -> None:
    done = revscript("try", "failing.py", "alarm.eml", "other.eml", cwd=folder)
    assert done.code == 1
    assert "alarm.eml: failed (1 effect, none of them happens, " in done.out
    assert "  failing.py, line 7: in value\n      return {}[\"Stichwort\"]\n  KeyError: 'Stichwort'\n" in done.out
    assert "other.eml: failed" in done.out
    [row] = revscript("try", "failing.py", "alarm.eml", "--json", cwd=folder).rows
    assert row["error"] == {
        "type": "KeyError",
        "text": "'Stichwort'",
        "line": 7,
        "frames": [{"line": 3, "function": "onEMail"}, {"line": 7, "function": "value"}],
    }


def test_try_shows_what_is_refused(folder: Path) -> None:
    done = revscript("try", "refused.py", "alarm.eml", cwd=folder)
    assert done.code == 1
    assert "  refused.py, line 1, column 8: module 'os' is not available" in done.out
    assert "\n      import os\n" in done.out


MAIN = """\
from words import upper


def onEMail(mail):
    log(tables("units").get("1/44", "Name"))
    mail.label(upper(mail.subject))
"""

WORDS = """\
def upper(text):
    return text.upper() if "7" in text else {}[text]
"""


@pytest.fixture
def with_libraries(folder: Path) -> Path:
    """A script with a library and a table, beside files that do not concern it."""
    (folder / "main.py").write_text(MAIN)
    (folder / "words.py").write_text(WORDS)
    (folder / "tables").mkdir()
    (folder / "tables" / "units.csv").write_bytes("Funk;Name\n1/44;Süd\n".encode("cp1252"))
    (folder / "tables" / "broken.csv").write_text("a;a\n")
    return folder


def test_try_finds_libraries_and_tables(with_libraries: Path) -> None:
    done = revscript("try", with_libraries / "main.py", "alarm.eml", "--json", cwd=with_libraries)
    assert (done.code, done.err) == (0, "")
    [row] = done.rows
    assert (row["exit"], row["log"]) == ("done", ["Süd"])
    assert row["effects"][0]["args"] == {"text": "B 3 BEISPIELWEG 7"}


def test_try_shows_lines_of_libraries(with_libraries: Path) -> None:
    done = revscript("try", "main.py", "other.eml", cwd=with_libraries)
    assert done.code == 1
    assert (
        "  main.py, line 6: in onEMail\n      mail.label(upper(mail.subject))\n  words.py, line 2: in upper\n"
        "      return text.upper() if \"7\" in text else {}[text]\n  KeyError: 'Hallo'\n"
    ) in done.out
    [row] = revscript("try", "main.py", "other.eml", "--json", cwd=with_libraries).rows
    assert (row["error"]["line"], row["error"]["frames"][1]) == (6, {"line": 2, "function": "words.py in upper"})


def test_try_shows_what_is_wrong_in_a_set(with_libraries: Path) -> None:
    (with_libraries / "words.py").write_text("import os\n" + WORDS)
    (with_libraries / "main.py").write_text(MAIN.replace("units", "broken"))
    (with_libraries / "latin.py").write_bytes(b"x = '\xfc'\n")
    done = revscript("try", "main.py", "alarm.eml", cwd=with_libraries)
    assert done.code == 1
    assert "alarm.eml: refused (0 effects, 0 ms)\n" in done.out
    assert "  words.py, line 1, column 8: module 'os' is not available" in done.out
    assert (
        "\n      import os\n  tables/broken.csv, line 1, column 1: two columns have the name 'a'\n      a;a\n"
        in done.out
    )
    assert "latin.py: line 1 is not UTF-8" in done.out
    [row] = revscript("try", "main.py", "alarm.eml", "--json", cwd=with_libraries).rows
    assert (row["exit"], row["error"]["type"], row["error"]["line"]) == ("refused", "Refused", None)
    assert row["error"]["text"].startswith("words.py, line 1, column 8: module 'os'")


def test_try_shows_what_the_account_keeps_from_the_script(folder: Path, tmp_path: Path) -> None:
    account = {
        "address": "einsatz@fuest.example",
        "methods": {"script": True},
        "allowed_senders": ["@leitstelle.example"],
        "skip": ["list"],
    }
    make_instance(tmp_path / "instance", {"post": account}, {})
    (folder / "list.eml").write_text("From: alarm@leitstelle.example\nList-Id: <a.b>\nSubject: x\n\nText\n")
    at = ("--instance", str(tmp_path / "instance"), "--account", "post")
    done = revscript("try", "script.py", "alarm.eml", "other.eml", "list.eml", "--json", *at, cwd=folder)
    assert (done.code, done.err) == (0, "")
    assert [row["exit"] for row in done.rows] == ["done", "ignored", "ignored"]
    assert [row["effects"][0]["words"] for row in done.rows[1:]] == [
        "label 'not an allowed sender'",
        "label 'mailing list'",
    ]
    people = revscript("try", "script.py", "other.eml", *at, cwd=folder)
    assert "  log: kept from the script: not an allowed sender: (none)\n" in people.out


def test_try_asks_the_instance(folder: Path, instance: Instance) -> None:
    def tried(*options: str, cwd: Path = folder) -> Done:
        return revscript("try", folder / "script.py", folder / "alarm.eml", "--json", *options, cwd=cwd)

    at = ("--now", "2026-03-01T13:00:00")
    named = tried(*at, "--instance", str(instance.root), "--account", "post")
    assert named.rows[0]["log"] == ["post 2026-03-01T13:00:00+01:00 True 1"]
    assert tried(*at, cwd=instance.root).rows[0]["log"] == [" 2026-03-01T13:00:00+01:00 True 1"]
    unknown = tried("--instance", str(instance.root), "--account", "pots")
    assert unknown.code == 2
    assert no_traceback(unknown)
    assert "no account 'pots'" in unknown.err


def test_wrong_arguments_are_said(folder: Path) -> None:
    for arguments in (("try", "nowhere.py", "alarm.eml"), ("try", "script.py", "alarm.eml", "--now", "noon")):
        done = revscript(*arguments, cwd=folder)
        assert done.code == 2
        assert no_traceback(done)
