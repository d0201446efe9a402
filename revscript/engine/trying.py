"""One mail's tries: run each due method, commit its outcome, or record the failure."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from revscript.commit import Commit, Conflict
from revscript.engine.case import Case, due, next_try
from revscript.engine.problems import failing, later, quarantined
from revscript.engine.reading import RawDamaged, Reader
from revscript.errors import EffectRefused, JailBroken, RevscriptError, StoreError, Unstorable
from revscript.jail.effects import attachment_indexes
from revscript.methods import centre, document, mission_folder
from revscript.methods import script as script_method
from revscript.methods.view import View
from revscript.model import FAILED_EXITS, Clock, Outcome, ProblemSink, Trouble
from revscript.sandbox import ReaderDied, Sandbox
from revscript.snapshot import Script, Snapshot
from revscript.store.bell import Bell
from revscript.store.blobs import Blobs, StagedBlob
from revscript.store.ledger import Ledger, RunRecord, Task
from revscript.store.quarantine import quarantine_key
from revscript.store.task_problems import was_in_quarantine

MOST_CONFLICTS = 3  # then the run takes a turn in which nobody else commits
CANARY = "canary"  # the label of mails that the host has sent to itself

log = structlog.get_logger()


def _always() -> bool:
    return True


def _unmoved(_then: datetime) -> timedelta:
    return timedelta()


def _never(_mail_id: int, _message_id: str) -> bool:
    return False


class Trying:
    """Works mails. One instance serves all workers.

    `clock_trusted` tells whether the host's clock is right enough to compare it with mails' dates; `clock_moved(then)`,
    by how much it was set since it showed a time. `canary(mail_id, message_id)` tells whether a mail is one that the
    host has sent to itself: nothing is run for such.
    """

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
        clock_trusted: Callable[[], bool] = _always,
        canary: Callable[[int, str], bool] = _never,
        clock_moved: Callable[[datetime], timedelta] = _unmoved,
    ) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self.reader = reader
        self._commit = commit
        self._sandbox = sandbox
        self._bell = bell
        self._problems = problems
        self._clock = clock
        self.clock_trusted = clock_trusted
        self._canary = canary
        self._clock_moved = clock_moved
        self._turn = threading.RLock()
        self._stranded: list[Task] = []

    def work(self, mail_id: int, snapshot: Snapshot, stopping: Callable[[], bool]) -> None:
        """Do what is due for a mail. JailBroken and StoreError pass, with nothing counted."""
        try:
            read = self.reader.take(mail_id, snapshot.settings)
        except RawDamaged as damaged:
            self._set_aside(mail_id, str(damaged))
            return
        mail, reading = read.mail, read.reading
        if reading.message_id and self._canary(mail_id, reading.message_id):
            self._ignore(mail_id, mail.account)
            return
        account = snapshot.accounts.get(mail.account)
        if account is None:  # its file is gone since the mail was chosen
            return
        moved = self._clock_moved(mail.received_at)
        case = Case(mail, reading, read.files, account, snapshot, self.clock_trusted(), moved)
        for task_id in self._ledger.due_tasks(mail_id, due(snapshot.settings.tries, self._clock())):
            if stopping():
                return
            log.debug("due", mail=mail_id, task=task_id)
            task = self._ledger.claim(task_id, self._clock())
            if task is not None:
                log.debug("claimed", mail=mail_id, task=task.id, method=task.method, attempt=task.attempts)
                self._try(task, case)

    def _set_aside(self, mail_id: int, reason: str) -> None:
        """A mail that nobody can load holds up no other; StoreError when it is the store that nobody can use."""
        for task in self._ledger.set_aside(mail_id, reason, self._clock()):
            log.error("quarantined", mail=mail_id, task=task.id, by=task.method, reason=reason)
            self._problems.report(quarantined(task, task.method, reason))

    def _ignore(self, mail_id: int, account: str) -> None:
        if self._ledger.ignore(mail_id, CANARY, self._clock()):
            self._bell.ring("finished", account)
        log.info("canary", mail=mail_id, account=account)

    def _try(self, task: Task, case: Case) -> None:
        try:
            self._run_or_fail(task, case)
        except (JailBroken, StoreError):
            self._uncount(task)
            raise

    def _run_or_fail(self, task: Task, case: Case) -> None:
        try:
            self._run_and_commit(task, case)
        except (JailBroken, StoreError):
            raise
        except Exception as error:  # a fault of ours: it counts, so that it ends in quarantine and not in a circle
            log.exception("a try failed by our own fault", mail=task.mail_id, task=task.id)
            trouble = Trouble(type(error).__name__, str(error))
            outcome = Outcome(by=f"method:{task.method}", exit="failed", trouble=trouble)
            script = self._script(task, case)
            self._fail(RunRecord(task, outcome, case.snapshot.sha256, self._clock(), 0, script), case)

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

    def _run_and_commit(self, task: Task, case: Case) -> None:
        now, conflicts, script = self._clock(), 0, self._script(task, case)
        while True:
            with self._turn if conflicts >= MOST_CONFLICTS else nullcontext():
                outcome = self._run(task, case, script, now)
                log.debug("ran", mail=task.mail_id, task=task.id, by=outcome.by, exit=outcome.exit)
                try:
                    self._finish(RunRecord(task, outcome, case.snapshot.sha256, now, conflicts, script), case)
                    return
                except Conflict:
                    conflicts += 1
                    log.debug("conflict", mail=task.mail_id, task=task.id, conflicts=conflicts)

    def _finish(self, record: RunRecord, case: Case) -> None:
        if record.outcome.exit in FAILED_EXITS:
            self._fail(record, case)
            return
        try:
            self._extract(case, record.outcome)
            self._commit_run(record, case)
        except (EffectRefused, RawDamaged, ReaderDied, Unstorable) as error:
            self._fail(_spoiled(record, error), case)
        except JailBroken as error:
            if not self.reader.breaks_the_jail(case.mail.id):
                raise
            self._fail(_spoiled(record, error), case)

    def _commit_run(self, record: RunRecord, case: Case) -> None:
        task, outcome = record.task, record.outcome
        log.debug("committing", mail=task.mail_id, task=task.id, effects=len(outcome.effects))
        with self._turn:
            committed = self._commit.apply(
                outcome,
                now=record.now,
                snapshot=case.snapshot,
                mail=case.facts(record.now),
                staged=case.staged,
                record=record,
            )
        log.info(
            "committed",
            mail=task.mail_id,
            task=task.id,
            by=outcome.by,
            exit=outcome.exit,
            effects=[effect.effect for effect in outcome.effects],
            targets=list(committed.targets),
        )
        log.debug("effects", mail=task.mail_id, task=task.id, words=list(outcome.render()))
        self._problems.clear(quarantine_key(task.id))
        if any(target.startswith("act:") for target in committed.targets):
            self._bell.ring("act")
        if committed.mail_done:
            self._bell.ring("finished", task.account)

    # ------------------------------------------------------------ the four methods

    def _script(self, task: Task, case: Case) -> Script | None:
        """What the task is to run: the recorded version that it is bound to, else the one in force."""
        if task.method != "script":
            return None
        recorded = self._ledger.script(task.script_sha256) if task.script_sha256 else None
        return recorded or case.snapshot.script_of(case.account)

    def _run(self, task: Task, case: Case, script: Script | None, now: datetime) -> Outcome:
        view = View(
            account=case.account,
            context=case.context(task, now),
            script=script,
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

    def _run_script(self, case: Case, view: View) -> Outcome:
        try:
            outcome = script_method.run(case.reading, view, self._sandbox)
            self.reader.got_through(case.mail.id)
            return outcome
        except JailBroken:
            if not self.reader.breaks_the_jail(case.mail.id):
                raise
        text = "the confined process broke again and again, only with this mail"
        name = view.script.name if view.script else ""
        return Outcome(by=f"script:{name}", exit="stopped", trouble=Trouble("JailBroken", text))

    def _extract(self, case: Case, outcome: Outcome) -> None:
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
            self._sandbox.extract(self.reader.raw(mail), mail.size, missing, take)
        # Only now: when the child was broken off in the middle, `extract` has begun anew, or has raised.
        for index, blob in staged.items():
            if blob.sha256 != case.reading.attachments[index].sha256:
                raise EffectRefused(f"Attachment {index} came out of the jail different from what was read.")
        case.staged.update(staged)

    # ------------------------------------------------------------ failing

    def _fail(self, record: RunRecord, case: Case) -> None:
        task, outcome = record.task, record.outcome
        again = next_try(task.attempts, case.snapshot.settings.tries, self._clock())
        reason = str(outcome.trouble or outcome.exit)
        # First the problem: as soon as the failure is recorded, a person may work on the task and strike it.
        self._tell(task, outcome.by, reason, len(case.snapshot.settings.tries), final=again is None)
        self._ledger.record_failure(record, again)
        log.warning(
            "failed" if again else "quarantined",
            mail=task.mail_id,
            task=task.id,
            by=outcome.by,
            exit=outcome.exit,
            attempt=task.attempts,
            reason=reason,
            next_try=later(again),
        )

    def _tell(self, task: Task, by: str, reason: str, tries: int, *, final: bool) -> None:
        if final:
            often = "once" if task.attempts == 1 else f"{task.attempts} times"
            self._problems.report(quarantined(task, by, f"failed {often}: {reason}"))
        else:
            was_given_up = was_in_quarantine(self._ledger.database, task.id)
            what = f"{by}, try {task.attempts} of {tries}: {reason}"
            self._problems.report(failing(task, what, was_given_up=was_given_up))


def _spoiled(record: RunRecord, error: Exception) -> RunRecord:
    """A run that ended well, but whose effects cannot be carried out."""
    hint = error.hint if isinstance(error, RevscriptError) else ""
    trouble = Trouble(type(error).__name__, f"{error} {hint}".rstrip())
    return replace(record, outcome=replace(record.outcome, exit="failed", trouble=trouble))
