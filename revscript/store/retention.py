"""Retention (design §10): what nobody needs any more goes, in steps so small that no commit waits for it.

A mail that is done, settled and old enough loses its raw text, its Reading and what its runs recorded, unless a message
form, a folder item, a mission's entry, an open centre entry, an unfinished task or a pending act refers to it: then it
lives as long as that. Its row stays as a tombstone (identity on the server, hash, times), so that it is never received
again; that it was a canary stays known as well. What lies under numbers that the server has given up (another epoch)
need not be settled: nobody can, and should it lie there still, its tombstone is recognised. Blobs that nobody refers to
any more lose their heads; their rows are swept as those of a broken staging are (`blobs.py`), so that a crash between
two steps leaves nothing half removed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, Text, bindparam, cast, delete, func, null, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from revscript.store.blobs import Blobs
from revscript.store.canary import LABEL
from revscript.store.database import Database
from revscript.store.record_tables import (
    centre_entry,
    folder_item,
    form_attachment,
    form_entry,
    form_source,
    mail_label,
    mission_entry,
    notice,
)
from revscript.store.schema import act, applied_effect, blob, canary, mail, mailbox, reading, run, script_text, task

BUDGET = 0.003  # s after which a transaction takes no further item: others wait for the door
LOOKED_UP = 500  # mails that are looked up together
CANARIES_KEPT = timedelta(days=90)  # at least: one that comes back late, or twice, is a canary still

_Item = TypeVar("_Item")

_this_mail: ColumnElement[int] = bindparam("this_mail")
_REFERRERS: tuple[Select[tuple[Any]], ...] = (
    *(select(one.c.mail_id) for one in (form_source, form_attachment, form_entry, folder_item, mission_entry)),
    select(centre_entry.c.mail_id).where(centre_entry.c.state == "open"),
)
_open_tasks = task.c.state.not_in(("done", "discarded"))
_epoch = select(mailbox.c.epoch).where(mailbox.c.id == mail.c.mailbox_id).scalar_subquery()
_is_settled = (mail.c.settle == "settled") & (mail.c.settled_at < bindparam("cutoff"))
_is_old = (
    (mail.c.state == "done")
    & mail.c.purged_at.is_(None)
    & (mail.c.received_at < bindparam("cutoff"))
    & (_is_settled | (mail.c.epoch != _epoch))
)
_unfinished = or_(_open_tasks, task.c.finished_at >= bindparam("cutoff"))
_pending = act.c.state == "pending"

# Looking for candidates, each table of referrers is gone through once; inside the door one mail is looked up in each.
_candidates = (
    select(mail.c.id)
    .where(_is_old, mail.c.id > bindparam("after"))
    .where(*(mail.c.id.not_in(one.where(one.selected_columns.mail_id.is_not(None))) for one in _REFERRERS))
    .where(mail.c.id.not_in(select(task.c.mail_id).where(_unfinished)))
    .where(mail.c.id.not_in(select(act.c.mail_id).where(_pending, act.c.mail_id.is_not(None))))
    .order_by(mail.c.id)
    .limit(LOOKED_UP)
)
_still = (
    select(mail.c.id)
    .where(mail.c.id == _this_mail, _is_old)
    .where(*(~one.where(one.selected_columns.mail_id == _this_mail).exists() for one in _REFERRERS))
    .where(~select(task.c.id).where(task.c.mail_id == _this_mail, _unfinished).exists())
    .where(~select(act.c.id).where(_pending, act.c.mail_id == _this_mail).exists())
)
_tombstone = update(mail).where(mail.c.id == _this_mail).values(blob_id=bindparam("empty"), purged_at=bindparam("now"))
_forget = (
    delete(reading).where(reading.c.mail_id == _this_mail),
    delete(mail_label).where(mail_label.c.mail_id == _this_mail, mail_label.c.text != LABEL),
    update(applied_effect).where(applied_effect.c.mail_id == _this_mail).values(words=""),
    update(run)
    .where(run.c.task_id.in_(select(task.c.id).where(task.c.mail_id == _this_mail)))
    .values(asked=[], effects=[], log=[], trouble=null()),
)

_over = act.c.state.in_(("sent", "dead")) & (act.c.finished_at < bindparam("cutoff"))
_acts = select(act.c.id).where(_over, cast(act.c.payload, Text) != "{}")
_forget_act = update(act).where(act.c.id == bindparam("this_act")).values(payload={}, receipt=null(), error="")
_canaries = select(canary.c.id).where(canary.c.sent_at < bindparam("cutoff"))
_notices = select(notice.c.id).where(notice.c.at < bindparam("cutoff"), notice.c.text != "")
_forget_notice = update(notice).where(notice.c.id == bindparam("this_notice"), notice.c.at < bindparam("cutoff"))

# A script's text is of use as long as a run can be replayed with it, or a task is to run with it.
_runs_of_kept_mails = (
    select(run.c.script_sha256)
    .join(task, task.c.id == run.c.task_id)
    .join(mail, mail.c.id == task.c.mail_id)
    .where(mail.c.purged_at.is_(None), run.c.script_sha256.is_not(None))
)
_pinned = select(task.c.script_sha256).where(_open_tasks, task.c.script_sha256.is_not(None))
_scripts = select(script_text.c.sha256).where(
    script_text.c.sha256.not_in(_runs_of_kept_mails), script_text.c.sha256.not_in(_pinned)
)

_BLOB_COLUMNS = (mail.c.blob_id, reading.c.blob_id, form_attachment.c.blob_id, folder_item.c.blob_id)
_inside = func.json_tree(act.c.payload).table_valued("key", "value", name="inside")
_in_acts = select(_inside.c.value).select_from(act).join(_inside, _inside.c.key == "blob_id")


@dataclass(slots=True)
class Purged:
    """What one pass removed. `mails` are the tombstones' ids; `bytes` is the content that nobody refers to any more."""

    mails: list[int] = field(default_factory=list[int])
    acts: int = 0
    notices: int = 0
    canaries: int = 0
    scripts: int = 0
    blobs: int = 0
    bytes: int = 0
    rows: int = 0


class Retention:
    """Removes what is too old. `clock_confirmed`: whether the host's clock may decide what is."""

    def __init__(
        self, database: Database, blobs: Blobs, clock_confirmed: Callable[[], bool], stopping: Callable[[], bool]
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._clock_confirmed = clock_confirmed
        self._stopping = stopping

    def purge(self, now: datetime, keep: timedelta) -> Purged:
        """Remove what was over longer than `keep` ago, until it is done, told to stop, or the clock is doubted."""
        done, cutoff = Purged(), now - keep
        if not self._goes_on():
            return done
        self._acts(done, cutoff)
        self._mails(done, cutoff, now)
        self._notices(done, cutoff)
        self._canaries(done, min(cutoff, now - CANARIES_KEPT))
        self._script_texts(done)
        self._heads(done)
        if self._goes_on():
            done.rows = self._blobs.sweep(lambda: not self._goes_on())
        return done

    def is_due(self, now: datetime, keep: timedelta) -> bool:
        """Whether there are mails that could be removed."""
        return bool(self._ask(_candidates.limit(1), cutoff=now - keep, after=0))

    def _goes_on(self) -> bool:
        return not self._stopping() and self._clock_confirmed()

    def _in_small_steps(self, items: Iterable[_Item], step: Callable[[Connection, _Item], Any]) -> None:
        queue = deque(items)
        while queue and self._goes_on():
            with self._database.write() as tx:
                until = time.monotonic() + BUDGET
                step(tx, queue.popleft())
                while queue and time.monotonic() < until:
                    step(tx, queue.popleft())

    def _ask(self, query: Any, **values: Any) -> list[Any]:
        with self._database.read() as tx:
            return list(tx.scalars(query, values))

    # ------------------------------------------------------------ mails, acts, notices, canaries

    def _mails(self, done: Purged, cutoff: datetime, now: datetime) -> None:
        empty: int | None = None

        def step(tx: Connection, mail_id: int) -> None:
            if tx.scalar(_still, {"this_mail": mail_id, "cutoff": cutoff}) is None:
                return  # somebody needs it since
            tx.execute(_tombstone, {"this_mail": mail_id, "empty": empty, "now": now})
            for statement in _forget:
                tx.execute(statement, {"this_mail": mail_id})
            done.mails.append(mail_id)

        after = 0
        while found := self._ask(_candidates, cutoff=cutoff, after=after):
            empty = empty or self._empty_blob(now)
            self._in_small_steps(found, step)
            if not self._goes_on():
                return
            after = found[-1]

    def _empty_blob(self, now: datetime) -> int:
        """What the tombstones refer to instead of their raw mails."""
        nothing = self._blobs.stage([])
        with self._database.write() as tx:
            return self._blobs.keep(tx, nothing, now)

    def _acts(self, done: Purged, cutoff: datetime) -> None:
        def step(tx: Connection, act_id: int) -> None:
            done.acts += tx.execute(_forget_act, {"this_act": act_id}).rowcount

        self._in_small_steps(self._ask(_acts, cutoff=cutoff), step)

    def _notices(self, done: Purged, cutoff: datetime) -> None:
        def step(tx: Connection, notice_id: int) -> None:
            values = {"this_notice": notice_id, "cutoff": cutoff}
            done.notices += tx.execute(_forget_notice.values(text=""), values).rowcount

        self._in_small_steps(self._ask(_notices, cutoff=cutoff), step)

    def _canaries(self, done: Purged, cutoff: datetime) -> None:
        def step(tx: Connection, canary_id: int) -> None:
            done.canaries += tx.execute(delete(canary).where(canary.c.id == canary_id)).rowcount

        self._in_small_steps(self._ask(_canaries, cutoff=cutoff), step)

    # ------------------------------------------------------------ what nobody refers to

    def _script_texts(self, done: Purged) -> None:
        """Remove the texts; runs of purged mails forget which it was (their `snapshot_sha256` still tells)."""
        for sha256 in self._ask(_scripts):
            runs = self._ask(select(run.c.id).where(run.c.script_sha256 == sha256))
            self._in_small_steps(
                runs, lambda tx, run_id: tx.execute(update(run).where(run.c.id == run_id).values(script_sha256=None))
            )
            self._in_small_steps([sha256], lambda tx, one: self._drop_script(tx, one, done))

    def _drop_script(self, tx: Connection, sha256: str, done: Purged) -> None:
        used = select(run.c.id).where(run.c.script_sha256 == sha256).limit(1)
        if tx.scalar(used) is None and tx.scalar(_pinned.where(task.c.script_sha256 == sha256).limit(1)) is None:
            done.scripts += tx.execute(delete(script_text).where(script_text.c.sha256 == sha256)).rowcount

    def _heads(self, done: Purged) -> None:
        """Take the heads of blobs that no row and no act refers to; that of the empty blob stays."""
        with self._database.read() as tx:
            # Acts refer to blobs in their payload, where no index helps: those that came later are looked at alone.
            last_act = tx.scalar(select(func.max(act.c.id))) or 0
            query = select(blob.c.id).where(blob.c.size > 0, blob.c.id.not_in(_in_acts))
            unused = list(tx.scalars(query.where(*(blob.c.id.not_in(select(one)) for one in _BLOB_COLUMNS))))
        later = _in_acts.where(act.c.id > last_act)

        def step(tx: Connection, blob_id: int) -> None:
            used = (select(one).where(one == blob_id).limit(1) for one in _BLOB_COLUMNS)
            if any(tx.scalar(query) is not None for query in (*used, later.where(_inside.c.value == blob_id).limit(1))):
                return
            size = tx.scalar(delete(blob).where(blob.c.id == blob_id).returning(blob.c.size))
            done.blobs += 1
            done.bytes += size or 0

        self._in_small_steps(unused, step)
