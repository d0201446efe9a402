"""Which mails are late while the host's clock is doubted: those that have lain here for long, by our own clock."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from revscript.store.schema import mail
from tests.engine.kit import post_in

TELLS_LATE = 'def onEMail(mail):\n    notify.all(str(mail.late), level="alarm")\n'


@pytest.mark.parametrize(
    ("later", "moved", "late"),
    [
        (timedelta(hours=2), timedelta(hours=2), False),  # somebody has set the clock: it came just now
        (timedelta(days=21), timedelta(), True),  # it lay in quarantine for three weeks
        (timedelta(days=21, hours=2), timedelta(hours=2), True),
        (timedelta(minutes=29), timedelta(), False),
        (timedelta(hours=-2), timedelta(hours=-2), False),
        (timedelta(hours=-1), timedelta(hours=-2), True),
    ],
)
def test_a_clock_that_is_off_is_compared_with_itself_alone(
    tmp_path: Path, later: timedelta, moved: timedelta, late: bool
) -> None:
    with post_in(tmp_path, script=TELLS_LATE) as post:
        post.receive("Meldung")
        post.later, post.clock_moved = later, moved
        post.clock_trusted = False
        post.work()
        level = "important" if late else "alarm"
        assert post.ask("SELECT level, wished_level FROM notice") == [(level, "alarm")]
        if later > timedelta():
            assert post.ask("SELECT text FROM notice") == [(str(late),)]


def test_a_clock_that_is_off_says_nothing_of_the_mails_own_date(tmp_path: Path) -> None:
    with post_in(tmp_path, script=TELLS_LATE) as post:
        mail_id = post.receive("Meldung")
        post.later = timedelta(days=3)
        with post.stores.database.write() as tx:  # it has come only now, and is dated three days ago
            tx.execute(update(mail).where(mail.c.id == mail_id).values(received_at=post.now()))
        post.clock_trusted = False
        post.work()
        assert post.ask("SELECT text, level FROM notice") == [("False", "alarm")]
