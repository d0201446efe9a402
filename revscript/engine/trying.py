"""One mail's tries: run each due method, commit its outcome, or record the failure."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise

import structlog

from revscript.commit import Commit, Conflict
from revscript.config import Account, MissionFolderMethod
from revscript.engine.reading import Reader
from revscript.errors import EffectRefused, JailBroken, RevscriptError, StoreError, Unstorable
from revscript.jail import wire
from revscript.jail.effects import attachment_indexes
from revscript.jail.reading.model import Reading
from revscript.methods import centre, document, mission_folder, script
from revscript.methods.view import View
from revscript.model import FAILED_EXITS, Clock, Outcome, Problem, ProblemSink, Trouble
from revscript.records.context import File, MailFacts
from revscript.sandbox import ReaderDied, Sandbox
from revscript.snapshot import Snapshot
from revscript.store.bell import Bell
from revscript.store.blobs import Blobs, StagedBlob
from revscript.store.ledger import Due, Ledger, Mail, RunRecord, Task

MOST_CONFLICTS = 3  # then the run takes a turn in which nobody else commits

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Case:
    """A mail with everything that its tasks need."""

    mail: Mail
    reading: Reading
    files: Mapping[int, bytes]  # small attachments that came along with the reading
    account: Account
    snapshot: Snapshot
    staged: dict[int, StagedBlob] = field(default_factory=dict[int, StagedBlob])  # attachments as blobs, by index


class Trying:
    """Works mails. One instance serves all workers."""

    def __init__(
        self,
        ledger: Ledger,
        blobs: Blobs,
        reader: Reader,
        commit: Commit,
        sandbox: Sandbox,
        bell: Bell,
        problems: ProblemSink,
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self.reader = reader
        self._commit = commit
        self._sandbox = sandbox
        self._bell = bell
        self._problems = problems
        self._clock = clock
        self._turn = threading.RLock()
        self._stranded: list[Task] = []

    def work(self, mail_id: int, snapshot: Snapshot, stopping: Callable[[], bool]) -> None:
        """Do what is due for a mail. JailBroken and StoreError pass, with nothing counted."""
        read = self.reader.take(mail_id, snapshot.settings)
        case = _Case(read.mail, read.reading, read.files, snapshot.accounts[read.mail.account], snapshot)
        for task_id in self._ledger.due_tasks(mail_id, due(snapshot.settings.tries, self._clock())):
            if stopping():
                return
            log.debug("due", mail=mail_id, task=task_id)
            task = self._ledger.claim(task_id, self._clock())
            if task is not None:
                log.debug("claimed", mail=mail_id, task=task.id, method=task.method, attempt=task.attempts)
                self._try(task, case)

    def _try(self, task: Task, case: _Case) -> None:
        try:
            self._run_or_fail(task, case)
        except (JailBroken, StoreError):
            self._uncount(task)
            raise

    def _run_or_fail(self, task: Task, case: _Case) -> None:
        try:
            self._run_and_commit(task, case)
        except (JailBroken, StoreError):
            raise
        except Exception as error:  # a fault of ours: it counts, so that it ends in quarantine and not in a circle
            log.exception("a try failed by our own fault", mail=task.mail_id, task=task.id)
            trouble = Trouble(type(error).__name__, str(error))
            outcome = Outcome(by=f"method:{task.method}", exit="failed", trouble=trouble)
            self._fail(RunRecord(task, outcome, case.snapshot.sha256, self._clock(), 0), case)

    def _uncount(self, task: Task) -> None:
        try:
            self._ledger.uncount(task)
        except StoreError:
            log.warning("a try cannot be uncounted yet", task=task.id)
            self._stranded.append(task)

    def rescue(self) -> None:
        """Give back tasks that were left `running` because the store failed; StoreError while it still does."""
        while self._stranded:
            self._ledger.uncount(self._stranded[0])
            self._stranded.pop(0)

    def _run_and_commit(self, task: Task, case: _Case) -> None:
        now, conflicts = self._clock(), 0
        while True:
            with self._turn if conflicts >= MOST_CONFLICTS else nullcontext():
                outcome = self._run(task, case, now)
                log.debug("ran", mail=task.mail_id, task=task.id, by=outcome.by, exit=outcome.exit)
                source = self._source(task, case)
                try:
                    self._finish(RunRecord(task, outcome, case.snapshot.sha256, now, conflicts, source), case)
                    return
                except Conflict:
                    conflicts += 1
                    log.debug("conflict", mail=task.mail_id, task=task.id, conflicts=conflicts)

    def _finish(self, record: RunRecord, case: _Case) -> None:
        if record.outcome.exit in FAILED_EXITS:
            self._fail(record, case)
            return
        try:
            self._extract(case, record.outcome)
            self._commit_run(record, case)
        except (EffectRefused, ReaderDied, Unstorable) as error:
            self._fail(_spoiled(record, error), case)
        except JailBroken as error:
            if not self.reader.breaks_the_jail(case.mail.id):
                raise
            self._fail(_spoiled(record, error), case)

    def _commit_run(self, record: RunRecord, case: _Case) -> None:
        task, outcome = record.task, record.outcome
        log.debug("committing", mail=task.mail_id, task=task.id, effects=len(outcome.effects))
        with self._turn:
            committed = self._commit.apply(
                outcome,
                now=record.now,
                snapshot=case.snapshot,
                mail=_facts(case, record.now),
                staged=case.staged,
                record=record,
            )
        words = list(outcome.render())
        log.info("committed", mail=task.mail_id, task=task.id, by=outcome.by, exit=outcome.exit, effects=words)
        self._problems.clear(_quarantine_key(task))
        if any(target.startswith("act:") for target in committed.targets):
            self._bell.ring("act")
        if committed.mail_done:
            self._bell.ring("finished", task.account)

    # ------------------------------------------------------------ the four methods

    def _run(self, task: Task, case: _Case, now: datetime) -> Outcome:
        view = View(
            account=case.account,
            context=run_context(case, task, now),
            script=case.snapshot.script_of(case.account),
            ask=lambda question: self._commit.answer(question, task.mail_id),
        )
        match task.method:
            case "script":
                return self._run_script(case, view)
            case "document":
                return document.run(case.reading, view)
            case "centre":
                return centre.run(case.reading, view)
            case "mission_folder":
                return mission_folder.run(case.reading, view)

    def _run_script(self, case: _Case, view: View) -> Outcome:
        try:
            outcome = script.run(case.reading, view, self._sandbox)
            self.reader.got_through(case.mail.id)
            return outcome
        except JailBroken:
            if not self.reader.breaks_the_jail(case.mail.id):
                raise
        text = "the confined process broke again and again, only with this mail"
        name = view.script.name if view.script else ""
        return Outcome(by=f"script:{name}", exit="stopped", trouble=Trouble("JailBroken", text))

    def _source(self, task: Task, case: _Case) -> str | None:
        found = case.snapshot.script_of(case.account) if task.method == "script" else None
        return found.text if found else None

    def _extract(self, case: _Case, outcome: Outcome) -> None:
        """Make blobs of the attachments that the effects name, before the commit's transaction opens."""
        staged: dict[int, StagedBlob] = {}

        def take(index: int, pieces: Iterable[bytes]) -> None:
            staged[index] = self._blobs.stage(pieces)

        wanted = {index for effect in outcome.effects for index in attachment_indexes(effect)} - case.staged.keys()
        for index in wanted & case.files.keys():
            take(index, [case.files[index]])
        missing = tuple(sorted(wanted - staged.keys()))
        if missing:
            mail = case.mail
            self._sandbox.extract(self._blobs.chunks(mail.blob_id), mail.size, missing, take)
        # Only now: when the child was broken off in the middle, `extract` has begun anew, or has raised.
        for index, blob in staged.items():
            if blob.sha256 != case.reading.attachments[index].sha256:
                raise EffectRefused(f"Attachment {index} came out of the jail different from what was read.")
        case.staged.update(staged)

    # ------------------------------------------------------------ failing

    def _fail(self, record: RunRecord, case: _Case) -> None:
        task, outcome = record.task, record.outcome
        again = next_try(task.attempts, case.snapshot.settings.tries, self._clock())
        self._ledger.record_failure(record, again)
        reason = str(outcome.trouble or outcome.exit)
        log.warning(
            "failed" if again else "quarantined",
            mail=task.mail_id,
            task=task.id,
            by=outcome.by,
            exit=outcome.exit,
            attempt=task.attempts,
            reason=reason,
            next_try=again and again.isoformat(),
        )
        if again is None:
            often = "once" if task.attempts == 1 else f"{task.attempts} times"
            self._problems.report(quarantined(task, outcome.by, f"failed {often}: {reason}"))
        else:
            tries = len(case.snapshot.settings.tries)
            self._problems.report(_failing(task, f"{outcome.by}, try {task.attempts} of {tries}: {reason}"))


def run_context(case: _Case, task: Task, now: datetime) -> wire.RunContext:
    """What the run depends on beside the Reading."""
    settings, folder = case.snapshot.settings, case.account.methods.mission_folder or MissionFolderMethod()
    return wire.RunContext(
        mail_id=task.mail_id,
        account=case.account.name,
        received=case.mail.received_at.isoformat(),
        now=now.isoformat(),
        max_age=case.account.max_age,
        clock_trusted=True,
        time_zone=settings.time_zone,
        attachments_inline=folder.inline,
    )


def _facts(case: _Case, now: datetime) -> MailFacts:
    mail = case.mail
    facts = MailFacts(
        mail.id,
        case.account,
        case.reading,
        mail.received_at,
        late=False,
        raw=File(f"mail-{mail.id}.eml", "message/rfc822", mail.blob_id),
        repeats=mail.possible_duplicate_of,
    )
    return replace(facts, late=now - facts.date > timedelta(minutes=case.account.max_age))


def _spoiled(record: RunRecord, error: Exception) -> RunRecord:
    """A run that ended well, but whose effects cannot be carried out."""
    hint = error.hint if isinstance(error, RevscriptError) else ""
    trouble = Trouble(type(error).__name__, f"{error} {hint}".rstrip())
    return replace(record, outcome=replace(record.outcome, exit="failed", trouble=trouble))


def due(tries: tuple[float, ...], now: datetime) -> Due:
    """What may be tried now; `tries` are the settings' minutes."""
    longest = max((after - before for before, after in pairwise(tries)), default=0)
    return Due(now, now + timedelta(minutes=longest + 1))


def next_try(attempts: int, tries: tuple[float, ...], now: datetime) -> datetime | None:
    """When to try again after that many attempts; None: no more. `tries` are minutes after the first one."""
    if attempts >= len(tries):
        return None
    return now + timedelta(minutes=tries[attempts] - tries[attempts - 1])


def _quarantine_key(task: Task) -> str:
    return f"quarantine:{task.id}"


def _failing(task: Task, what: str) -> Problem:
    """A mail whose task will be tried again: people can mend the script meanwhile."""
    return Problem(
        _quarantine_key(task),
        f"mail {task.mail_id} ({task.account})",
        what,
        f"It is tried again by itself; see `revscript show mails {task.mail_id}`.",
        "warning",
    )


def quarantined(task: Task, by: str, reason: str) -> Problem:
    """A mail whose task is not tried again."""
    return Problem(
        _quarantine_key(task),
        f"mail {task.mail_id} ({task.account})",
        f"{by}: {reason}",
        "The mail stays on its server untouched. See `revscript show quarantine`.",
    )
