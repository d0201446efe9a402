"""`revscript try`: what a script would do to a mail."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from revscript.cli.mails import jail, readings
from revscript.cli.options import InstanceOption, JsonOption, MailArguments, has_store, stores_of
from revscript.cli.output import counted, emit, say
from revscript.config import Account, Settings
from revscript.errors import ConfigError
from revscript.jail.effects import Effect
from revscript.jail.plain import to_plain
from revscript.jail.questions import Question, RunningMissions
from revscript.jail.reading.model import Reading
from revscript.jail.wire import RunContext, ScriptProblem
from revscript.methods.script import outcome_of
from revscript.model import FAILED_EXITS, Outcome, Trouble, wall_clock
from revscript.sandbox import Sandbox
from revscript.snapshot import MAX_SCRIPT, Instance, load_snapshot

Answer = Callable[[Question], Any]

_LINE_END = re.compile("\r\n?|\n")  # as Python counts lines, unlike splitlines()
DEFAULT_AGE = 30.0  # minutes, as of an account that says nothing


@dataclass(frozen=True, slots=True)
class _Result:
    """What came of it, and what the policy refuses in the script."""

    outcome: Outcome
    problems: tuple[ScriptProblem, ...]


@dataclass(frozen=True, slots=True)
class _Trial:
    """A script, and everything else that a run depends on beside the mail."""

    name: str
    source: str
    context: RunContext
    answer: Answer

    def run(self, reading: Reading, sandbox: Sandbox) -> _Result:
        """Run it as the host would; nothing is committed."""
        run = sandbox.run_script(self.source, reading, self.context, self.answer)
        return _Result(outcome_of(self.name, run), run.end.problems)


def try_(
    script: Annotated[Path, typer.Argument(metavar="SCRIPT", help="A script with a function onEMail.")],
    mails: MailArguments,
    instance: InstanceOption = None,
    account: Annotated[str, typer.Option(metavar="NAME", help="The account that the mail came to.")] = "",
    now: Annotated[str, typer.Option(metavar="TIME", help="The run's time, ISO 8601.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Show what a script would do to mails, without doing it.

    Needs no instance. What the script asks (missions, forms) is answered from the instance's database, if there is one;
    otherwise nothing is found. Exit code 1 when a run did not end well (refused, failed, stopped, protocol).

    JSON keys: file, exit, effects, log, error, cpu_ms.
    """
    source, all_well = _source(script), True
    where = _instance(instance)
    snapshot = load_snapshot(where) if where else None
    settings = snapshot.settings if snapshot else Settings()
    known = _account(account, snapshot.accounts.get(account) if snapshot else None, where)
    context = _context(account, known, settings, _time(now, settings))
    with _answers(where) as answer, jail(settings) as sandbox:
        trial = _Trial(script.name, source, context, answer)
        for file, reading in readings(mails, sandbox, settings):
            if reading is None:
                all_well = False
                continue
            result = trial.run(reading, sandbox)
            all_well = all_well and result.outcome.exit not in FAILED_EXITS
            if as_json:
                emit(as_row(file, result.outcome))
            else:
                _tell(file, trial, result)
    if not all_well:
        raise typer.Exit(1)


# ---------------------------------------------------------------- before the run


def _source(script: Path) -> str:
    try:
        with script.open("rb") as stream:
            data = stream.read(MAX_SCRIPT + 1)
        if len(data) > MAX_SCRIPT:
            raise ConfigError(f"{script}: is larger than {MAX_SCRIPT} bytes")
        return data.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{script}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{script}: is not UTF-8 text; save the file as UTF-8") from None


def _instance(folder: Path | None) -> Instance | None:
    """The named instance, else the current folder where it is one with a database."""
    if folder is not None:
        return Instance(folder.absolute())
    here = Instance(Path().absolute())
    return here if has_store(here) else None


def _account(name: str, found: Account | None, instance: Instance | None) -> Account | None:
    if name and instance and found is None:
        raise ConfigError(
            f"{instance.accounts}: there is no account {name!r}, or its file has an error.",
            hint="See `revscript check`.",
        )
    return found


def _time(text: str, settings: Settings) -> datetime:
    if not text:
        return wall_clock()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--now {text}: is not a time like 2026-03-01T12:00:00+01:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(settings.time_zone))


def _context(name: str, account: Account | None, settings: Settings, now: datetime) -> RunContext:
    folder = account.methods.mission_folder if account else None
    return RunContext(
        mail_id=0,
        account=name,
        received=now.isoformat(),
        now=now.isoformat(),
        max_age=account.max_age if account else DEFAULT_AGE,
        clock_trusted=True,
        time_zone=settings.time_zone,
        attachments_inline=folder.inline if folder else False,
    )


@contextmanager
def _answers(instance: Instance | None) -> Generator[Answer]:
    if instance is None or not has_store(instance):
        yield _nothing
        return
    with stores_of(instance) as stores:
        yield lambda question: stores.commit.answer(question, None)


def _nothing(question: Question) -> Any:
    return [] if isinstance(question, RunningMissions) else None


# ---------------------------------------------------------------- after the run


def as_row(file: Path, outcome: Outcome) -> dict[str, Any]:
    """A run in the shape that the JSON has."""
    return {
        "file": str(file),
        "exit": outcome.exit,
        "effects": [_effect(one) for one in outcome.effects],
        "log": list(outcome.log),
        "error": _error(outcome.trouble) if outcome.trouble else None,
        "cpu_ms": outcome.cpu_ms,
    }


def _effect(effect: Effect) -> dict[str, Any]:
    args = to_plain(effect)
    return {"effect": args.pop("effect"), "args": args, "words": effect.words()}


def _error(trouble: Trouble) -> dict[str, Any]:
    frames = [{"line": line, "function": function} for line, function in trouble.frames]
    return {"type": trouble.type, "text": trouble.text, "line": trouble.line, "frames": frames}


def _tell(file: Path, trial: _Trial, result: _Result) -> None:
    outcome = result.outcome
    bad = outcome.exit in FAILED_EXITS
    effects = counted(len(outcome.effects), "effect") + (", none of them happens" if bad and outcome.effects else "")
    say(f"{file}: {outcome.exit} ({effects}, {outcome.cpu_ms} ms)", "bold red" if bad else "bold")
    for words in outcome.render():
        say(f"→ {words}", "dim" if bad else "green", indent=2)
    for line in outcome.log:
        say(f"log: {line}", indent=2)
    if result.problems:
        for problem in result.problems:
            _tell_place(trial, problem.line, problem.text)
    elif outcome.trouble:
        _tell_trouble(trial, outcome.trouble)


def _tell_trouble(trial: _Trial, trouble: Trouble) -> None:
    for number, function in trouble.frames:
        _tell_place(trial, number, f"in {function}")
    say(f"{trouble.type}: {trouble.text}", "red", indent=2)


def _tell_place(trial: _Trial, number: int | None, text: str) -> None:
    """A line of the script, with what is to be said about it."""
    say(f"{trial.name}, line {number}: {text}" if number else f"{trial.name}: {text}", indent=2)
    lines = _LINE_END.split(trial.source)
    if number and number <= len(lines):
        say(lines[number - 1].strip(), "bold", indent=6)
