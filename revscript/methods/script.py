"""Run script: the administrators' `onEMail(mail)`, inside the jail."""

from __future__ import annotations

from revscript.jail.effects import Effect, IgnoreMail
from revscript.jail.reading.model import Reading
from revscript.jail.wire import ScriptProblem
from revscript.methods.filters import kept_from_script
from revscript.methods.view import View
from revscript.model import Exit, Outcome, Trouble
from revscript.sandbox import Sandbox, ScriptRun

_STOPPED = {"time", "cpu", "memory", "cap", "crash"}


def run(reading: Reading, view: View, sandbox: Sandbox) -> Outcome:
    """Run the account's script, unless the account keeps the mail from it.

    Raises JailBroken, and what `view.ask` raises.
    """
    kept = kept_from_script(reading, view.account)
    if kept:
        return kept
    if view.script is None:
        method = view.account.methods.script
        name = method.file if method else "onEMail.py"
        text = f"The script {name} is not in user_scripts."
        return Outcome(by=f"script:{name}", exit="refused", trouble=Trouble("Missing", text))
    finished = sandbox.run_script(view.script, reading, view.context, view.ask)
    return outcome_of(view.script.name, finished)


def outcome_of(name: str, finished: ScriptRun) -> Outcome:
    """A script's run as an outcome; the effects of a run that did not end well are kept for the record only."""
    return Outcome(
        by=f"script:{name}",
        effects=tuple(finished.effects),
        exit=_exit(finished),
        asked=tuple(finished.asked),
        log=tuple(finished.log),
        trouble=_policy(finished.end.problems) or finished.end.trouble,
        cpu_ms=finished.end.cpu_ms,
    )


def _exit(finished: ScriptRun) -> Exit:
    kind = finished.end.kind
    if kind in _STOPPED:
        return "stopped"
    if kind != "done":
        return "refused" if kind == "refused" else "protocol" if kind == "protocol" else "failed"
    effects: list[Effect] = finished.effects
    if any(isinstance(effect, IgnoreMail) for effect in effects):
        return "ignored"
    return "done" if effects else "unhandled"


def _policy(problems: tuple[ScriptProblem, ...]) -> Trouble | None:
    if not problems:
        return None
    text = "; ".join(f"line {one.line}, column {one.column}: {one.text}" if one.line else one.text for one in problems)
    return Trouble("Refused", text, ((problems[0].line, ""),) if problems[0].line else ())
