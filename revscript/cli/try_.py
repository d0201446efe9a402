"""`revscript try`: what a script would do to a mail."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from revscript.cli.mails import jail, readings
from revscript.cli.options import InstanceOption, JsonOption, MailArguments, has_store, stores_of
from revscript.cli.output import WIDE, counted, emit, say
from revscript.config import Account, Finding, Settings
from revscript.errors import ConfigError
from revscript.jail.effects import Effect
from revscript.jail.plain import to_plain
from revscript.jail.questions import Question, RunningMissions
from revscript.jail.reading.model import Reading
from revscript.jail.wire import RunContext
from revscript.methods.filters import kept_from_script
from revscript.methods.script import outcome_of
from revscript.model import FAILED_EXITS, Outcome, Trouble, library_of, wall_clock
from revscript.sandbox import Sandbox
from revscript.sandbox.sets import FileProblem, assemble_one
from revscript.snapshot import MAX_FILE, Instance, Script, load_snapshot
from revscript.snapshot.files import is_script, is_table, read_texts

Answer = Callable[[Question], Any]

_LINE_END = re.compile("\r\n?|\n")  # as Python counts lines, unlike splitlines()
DEFAULT_AGE = 30.0  # minutes, as of an account that says nothing


@dataclass(frozen=True, slots=True)
class _Sources:
    """The script with what lies beside it: file name → text. `unreadable`: what is wrong with other files there."""

    file: str
    texts: Mapping[str, str]
    tables: Mapping[str, str]
    unreadable: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class _Trial:
    """A script as a set, or what is wrong with it, and everything else that a run depends on beside the mail."""

    sources: _Sources
    script: Script | tuple[FileProblem, ...]
    account: Account | None
    context: RunContext
    answer: Answer

    def run(self, reading: Reading, sandbox: Sandbox) -> Outcome:
        """Run it as the host would; nothing is committed."""
        kept = kept_from_script(reading, self.account) if self.account else None
        if kept:
            return kept
        name = self.sources.file
        if isinstance(self.script, tuple):
            return Outcome(by=f"script:{name}", exit="refused", trouble=_refused(name, self.script))
        return outcome_of(name, sandbox.run_script(self.script, reading, self.context, self.answer))


def try_(
    script: Annotated[Path, typer.Argument(metavar="SCRIPT", help="A script with a function onEMail.")],
    mails: MailArguments,
    instance: InstanceOption = None,
    account: Annotated[str, typer.Option(metavar="NAME", help="The account that the mail came to.")] = "",
    now: Annotated[str, typer.Option(metavar="TIME", help="The run's time, ISO 8601.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Show what a script would do to mails, without doing it.

    Needs no instance: libraries are looked for beside the script, tables in the folder tables there. What the script
    asks (missions, forms) is answered from the instance's database, if there is one; otherwise nothing is found. With
    --account, a mail that the account keeps from its script (allowed_senders, skip) is shown as the host treats it.
    Exit code 1 when a run did not end well (refused, failed, stopped, protocol).

    JSON keys: file, exit, effects, log, error, cpu_ms.
    """
    sources, all_well = _sources(script), True
    where = _instance(instance)
    snapshot = load_snapshot(where) if where else None
    settings = snapshot.settings if snapshot else Settings()
    known = _account(account, snapshot.accounts.get(account) if snapshot else None, where)
    context = _context(account, known, settings, _time(now, settings))
    with _answers(where) as answer, jail(settings) as sandbox:
        whole = assemble_one(sources.file, sources.texts, sources.tables, sandbox)
        trial = _Trial(sources, whole, known, context, answer)
        for file, reading in readings(mails, sandbox, settings):
            if reading is None:
                all_well = False
                continue
            outcome = trial.run(reading, sandbox)
            all_well = all_well and outcome.exit not in FAILED_EXITS
            if as_json:
                emit(as_row(file, outcome))
            else:
                _tell(file, trial, outcome)
    if not all_well:
        raise typer.Exit(1)


# ---------------------------------------------------------------- before the run


def _sources(script: Path) -> _Sources:
    try:
        with script.open("rb") as stream:
            data = stream.read(MAX_FILE + 1)
        if len(data) > MAX_FILE:
            raise ConfigError(f"{script}: is larger than {MAX_FILE} bytes")
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{script}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{script}: is not UTF-8 text; save the file as UTF-8") from None
    folder = script.absolute().parent
    texts, wrong_texts = read_texts(folder, is_script, folder.name)
    tables, wrong_tables = read_texts(folder / "tables", is_table, "tables")
    wrong = tuple(one for one in (*wrong_texts, *wrong_tables) if not one.file.endswith(f"/{script.name}"))
    return _Sources(script.name, texts | {script.name: text}, tables, wrong)


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
    with stores_of(instance, read_only=True) as stores:
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


def _refused(name: str, problems: tuple[FileProblem, ...]) -> Trouble:
    first = next((one.line for one in problems if one.file == name and one.line), None)
    return Trouble("Refused", "; ".join(map(str, problems)), ((first, ""),) if first else ())


def _tell(file: Path, trial: _Trial, outcome: Outcome) -> None:
    bad = outcome.exit in FAILED_EXITS
    effects = counted(len(outcome.effects), "effect") + (", none of them happens" if bad and outcome.effects else "")
    say(f"{file}: {outcome.exit} ({effects}, {outcome.cpu_ms} ms)", "bold red" if bad else "bold")
    for words in outcome.render():
        say(f"→ {words}", "dim" if bad else "green", indent=2)
    for line in outcome.log:
        say(f"log: {line}", indent=2)
    if bad and isinstance(trial.script, tuple):
        for one in trial.script:
            say(str(one), indent=2)
            _tell_source(trial.sources, one.file, one.line)
        for one in trial.sources.unreadable:  # perhaps what is said to be missing
            say(str(one), indent=2)
    elif outcome.trouble:
        _tell_trouble(trial.sources, outcome.trouble)


def _tell_trouble(sources: _Sources, trouble: Trouble) -> None:
    for number, function in trouble.frames:
        library = library_of(function)
        file = library or sources.file
        say(f"{file}, line {number}: in {function.removeprefix(library + ' in ') if library else function}", indent=2)
        _tell_source(sources, file, number)
    say(f"{trouble.type}: {trouble.text}", "red", indent=2)


def _tell_source(sources: _Sources, file: str, number: int | None) -> None:
    """The line that is meant."""
    folder, _, table = file.rpartition("/")
    text = sources.tables.get(table, "") if folder else sources.texts.get(file, "")
    lines = _LINE_END.split(text)
    if number and number <= len(lines):
        say(lines[number - 1].strip()[:WIDE], "bold", indent=6)
