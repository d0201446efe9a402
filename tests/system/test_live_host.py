"""A host whose files change while it runs: accounts come and go, scripts are mended, people work the quarantine."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from revscript.host import Host
from revscript.snapshot import Instance
from tests.cli.command import revscript
from tests.instance import imap_account, make_instance, rows, running, settled, wait_until
from tests.servers.dovecot import Dovecot
from tests.servers.mails import alarm_mail

GOOD = "def onEMail(mail):\n    notify.all(mail.subject)\n"
BAD = "def onEMail(mail):\n    notify.all(mail.sbject)\n"
FAILING = "def onEMail(mail):\n    notify.all(str(1 // 0))\n"


class Desk:
    """A running host and the hands of its administrator."""

    def __init__(self, host: Host, dovecot: Dovecot, user: str) -> None:
        self.host = host
        self.instance: Instance = host.instance
        self.dovecot = dovecot
        self.user = user

    def save(self, name: str, text: str) -> None:
        path = self.instance.root / name
        partial = path.with_name(f".{path.name}.new")
        partial.write_text(text)
        partial.replace(path)

    def account(self, name: str, user: str, **more: Any) -> None:
        content = imap_account(self.dovecot, user, methods={"script": True}, **more)
        self.save(f"accounts/{name}.json", json.dumps(content))

    def script(self, text: str) -> None:
        self.save("user_scripts/onEMail.py", text)

    def deliver(self, number: str, user: str = "") -> None:
        self.dovecot.deliver(user or self.user, alarm_mail(number=number))

    def states(self) -> list[str]:
        return [state for (state,) in rows(self.instance, "SELECT state FROM task ORDER BY id")]

    def problems(self) -> list[str]:
        return [key for one in self.host.problems.standing() if "password" not in (key := one.problem.key)]

    def command(self, *arguments: str) -> str:
        done = revscript(*arguments, cwd=self.instance.root)
        assert done.code == 0, done.out + done.err
        return done.out


@pytest.fixture
def desk(tmp_path: Path, dovecot: Dovecot, mailbox_user: str) -> Generator[Desk]:
    account = imap_account(dovecot, mailbox_user, methods={"script": True})
    settings = {"tries": [0, 0.005]}
    with running(make_instance(tmp_path, {"post": account}, {"onEMail.py": GOOD}, settings)) as host:
        yield Desk(host, dovecot, mailbox_user)


def test_an_account_that_is_dropped_in_is_watched(desk: Desk) -> None:
    first = desk.host.fleet.watchers
    user = f"{desk.user}-2"
    desk.deliver("2026-1", user)
    desk.account("second", user)
    wait_until(lambda: settled(desk.instance) == 1, 20, "its mail")
    assert desk.host.fleet.watchers[0] is first[0]  # whose account did not change is not disturbed


def test_only_the_changed_account_is_watched_anew(desk: Desk) -> None:
    desk.account("second", f"{desk.user}-2")
    wait_until(lambda: len(desk.host.fleet.watchers) == 2, 20, "two watchers")
    before = {one.account: one for one in desk.host.fleet.watchers}
    desk.account("second", f"{desk.user}-2", max_age=5)
    wait_until(lambda: desk.host.snapshot.accounts["second"].max_age == 5, 20, "the new age")
    wait_until(lambda: len(desk.host.fleet.watchers) == 2, 20, "two watchers again")
    after = {one.account: one for one in desk.host.fleet.watchers}
    assert after["post"] is before["post"]
    assert after["second"] is not before["second"]
    assert not before["second"].is_alive


def test_an_account_that_is_removed_is_let_go_and_works_again_when_it_is_back(desk: Desk) -> None:
    text = (desk.instance.accounts / "post.json").read_text()
    (desk.instance.accounts / "post.json").unlink()
    wait_until(lambda: not desk.host.fleet.watchers, 20, "no watcher")
    wait_until(
        lambda: rows(desk.instance, "SELECT mode FROM mailbox") == [("",)], 5, "the mailbox is said to be unwatched"
    )
    desk.deliver("2026-1")
    desk.save("accounts/post.json", text)
    wait_until(lambda: settled(desk.instance) == 1, 20, "the mail that came meanwhile")


def test_settings_that_concern_watchers_start_them_anew(desk: Desk) -> None:
    (before,) = desk.host.fleet.watchers
    desk.save("settings.json", json.dumps({"web": {"enabled": False}, "push": {"safety_search": 30}}))
    wait_until(lambda: desk.host.fleet.watchers not in ([before], []), 20, "another watcher")
    desk.deliver("2026-1")
    wait_until(lambda: settled(desk.instance) == 1, 20, "the mail")


def test_a_mended_script_heals_the_quarantine(desk: Desk) -> None:
    desk.script(FAILING)
    wait_until(lambda: desk.host.snapshot.scripts["onEMail.py"].text == FAILING, 20, "the failing script")
    desk.deliver("2026-1")
    desk.deliver("2026-2")
    wait_until(lambda: desk.states() == ["quarantined"] * 2, 20, "quarantine")
    assert [key.partition(":")[0] for key in desk.problems()].count("quarantine") == 2
    desk.script(GOOD)
    wait_until(lambda: settled(desk.instance) == 2, 20, "both healed and settled")
    wait_until(lambda: not desk.problems(), 20, "no problem")
    entries = rows(desk.instance, "SELECT kind, by FROM task_entry ORDER BY task_id")
    assert entries == [("healed", "reload:onEMail.py")] * 2


def test_a_broken_script_is_told_and_the_good_one_goes_on(desk: Desk) -> None:
    desk.script("def onEMail(mail:\n")
    wait_until(lambda: any(key.startswith("file:user_scripts/onEMail.py") for key in desk.problems()), 20, "told")
    desk.deliver("2026-1")
    wait_until(lambda: settled(desk.instance) == 1, 20, "the mail, by the good version")
    desk.script(GOOD + "# mended\n")
    wait_until(lambda: not desk.problems(), 20, "no problem")


def test_people_work_the_quarantine_beside_the_host(desk: Desk) -> None:
    desk.script(FAILING)
    wait_until(lambda: desk.host.snapshot.scripts["onEMail.py"].text == FAILING, 20, "the failing script")
    desk.deliver("2026-1")
    wait_until(lambda: desk.states() == ["quarantined"], 20, "quarantine")
    assert "onEMail.py" in desk.command("quarantine", "list")
    desk.command("quarantine", "discard", "1", "--why", "a trial of ours")
    wait_until(lambda: settled(desk.instance) == 1, 20, "the server was told")
    wait_until(lambda: not desk.problems(), 20, "no problem")
    told = desk.command("trace", "1")
    assert "a trial of ours" in told
    assert "ZeroDivisionError" in told


def test_other_limits_of_scripts_count_at_once(desk: Desk) -> None:
    desk.script("def onEMail(mail):\n    while True:\n        pass\n")
    desk.save("settings.json", json.dumps({"web": {"enabled": False}, "tries": [0], "jail": {"wall": 0.3}}))
    wait_until(lambda: desk.host.snapshot.settings.jail.wall == 0.3, 20, "the new limit")
    wait_until(lambda: "while" in desk.host.snapshot.scripts["onEMail.py"].text, 20, "the new script")
    desk.deliver("2026-1")
    wait_until(lambda: desk.states() == ["quarantined"], 5, "it is stopped, long before the 10 s that were allowed")
