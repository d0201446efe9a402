"""Random edits while mails come in: every run used a state that was whole at some moment, no mail is lost."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path
from typing import Any

import pytest

from revscript.host import Host
from revscript.reload import Changes
from revscript.snapshot import Snapshot
from tests.instance import imap_account, make_instance, rows, running, wait_until
from tests.servers.dovecot import Dovecot
from tests.servers.mails import alarm_mail
from tests.system.edits import Editor

PAUSES = (0.0, 0.02, 0.05, 0.1, 0.4)  # s between edits: some together, some in the middle of being taken
SETTINGS: dict[str, Any] = {"tries": [0, 0.02, 0.1]}


@pytest.mark.timeout(300)
def test_edits_while_mails_come_in(tmp_path: Path, dovecot: Dovecot) -> None:
    edit_while_mails_come_in(tmp_path, dovecot, edits=100, mails=500, seed=20261124)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(3))
def test_many_edits_while_mails_come_in(tmp_path: Path, dovecot: Dovecot, seed: int) -> None:
    edit_while_mails_come_in(tmp_path, dovecot, edits=1000, mails=500, seed=seed)


def edit_while_mails_come_in(root: Path, dovecot: Dovecot, *, edits: int, mails: int, seed: int) -> None:
    """The trial; `seed` decides which edits."""
    users = {name: f"{name}-{root.name}-{seed}".lower().replace("_", "-")[:60] for name in "ab"}

    def account(name: str) -> dict[str, Any]:
        return imap_account(dovecot, users[name], methods={"script": True})

    instance = make_instance(root, {}, {}, SETTINGS)
    editor = Editor(root, account, seed)
    pauses = random.Random(seed)
    with running(instance) as host:
        reloads = Reloads(host)
        for number in range(edits):
            for one in range(number * mails // edits, (number + 1) * mails // edits):
                dovecot.deliver(users["ab"[one % 2]], alarm_mail(number=f"2026-{one}"))
            editor.edit()
            time.sleep(pauses.choice(PAUSES))
        editor.mend()
        wait_until(lambda: done(instance) == mails, 120, f"{mails} mails done (seed {seed}): {editor.log[-20:]}")
        used = {states_of(label) for (label,) in rows(instance, "SELECT text FROM mail_label")}
        assert len(used) > 3
        assert reloads.count > edits // 20, "hardly anything was taken while it changed"
        assert used <= editor.states, f"seed {seed}: {sorted(used - editor.states)} were never there"
        assert rows(instance, "SELECT count(*) FROM task WHERE state = 'done'") == [(mails,)]
        assert rows(instance, "SELECT count(*), count(DISTINCT mail_id) FROM form_source") == [(mails, mails)]

        wait_until(lambda: not host.snapshot.errors and ages(host) == editor.ages, 10, "the last state is in force")
        dovecot.deliver(users["a"], alarm_mail(number="the last one"))
        wait_until(lambda: done(instance) == mails + 1, 30, "the last mail done")
        ((label,),) = rows(instance, "SELECT text FROM mail_label ORDER BY mail_id DESC LIMIT 1")
        assert states_of(label) == editor.state


class Reloads:
    """Counts the snapshots that come in force."""

    def __init__(self, host: Host) -> None:
        self.count = 0
        self._apply = host.reload._apply
        host.reload._apply = self._counted

    def _counted(self, snapshot: Snapshot, changes: Changes) -> None:
        self.count += 1
        self._apply(snapshot, changes)


def ages(host: Host) -> dict[str, float]:
    """What the accounts in force say."""
    return {name: one.max_age for name, one in host.snapshot.accounts.items()}


def done(instance: Any) -> int:
    """How many mails are done."""
    return rows(instance, "SELECT count(*) FROM mail WHERE state = 'done'")[0][0]


def states_of(label: str) -> tuple[int, ...]:
    """The versions that a run has noted."""
    return tuple(int(number) for number in re.findall(r"\d+", label))
