"""A run of a script: from its code to its effects, and what can be said when it does not end well."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator

from revscript.jail.reading.model import Reading
from revscript.jail.scripting import golden, texts
from revscript.jail.scripting.guards import script_globals
from revscript.jail.scripting.objects import Desk, Mail, names_for
from revscript.jail.scripting.policy import FILENAME, PolicyRefused, compile_script
from revscript.jail.scripting.session import Session
from revscript.jail.scripting.syntax import ENTRY
from revscript.jail.wire import Frame, RunContext, ScriptTrouble

MAX_FRAMES = 20  # the limit of ScriptTrouble.frames
_GENERATOR = 0x20  # inspect.CO_GENERATOR, without loading inspect


def run_script(code: types.CodeType, reading: Reading, context: RunContext, session: Session) -> None:
    """Execute the script's body, then `onEMail(mail)`; raises whatever the script raises."""
    desk = Desk(reading, context, session)
    names = script_globals(names_for(desk))
    exec(code, names)  # noqa: S102 - code of compile_script, in the jail, with guarded names: this is the place for it
    _entry(names)(Mail(desk))


def _entry(names: dict[str, object]) -> types.FunctionType:
    entry = names.get(ENTRY)
    if type(entry) is not types.FunctionType or entry.__code__.co_filename != FILENAME:
        raise TypeError(f"{ENTRY} must be a function of this script")
    if entry.__code__.co_flags & _GENERATOR:
        raise TypeError(f"{ENTRY} must not contain yield: nobody would run it; put it into a function of its own")
    return entry


def describe(error: BaseException) -> ScriptTrouble:
    """What went wrong, for the protocol: type, text, and the script's own frames, innermost last."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - the text of an error may hold values of any depth and size
        text = "(an error without a text that can be shown)"
    kind = texts.cut(texts.one_line(type(error).__name__), 200)
    return ScriptTrouble(type=kind, text=texts.cut(texts.block(text[:4000]), 2000), frames=_frames(error))


def where(frame: types.FrameType | None) -> tuple[Frame, ...]:
    """The script's frames above and including this one, innermost last; for the handlers of deadlines."""
    found: list[Frame] = []
    while frame is not None and len(found) < MAX_FRAMES:
        if frame.f_code.co_filename == FILENAME:
            found.append(_frame(frame.f_code, frame.f_lineno))
        frame = frame.f_back
    return tuple(reversed(found))


def _frames(error: BaseException) -> tuple[Frame, ...]:
    return tuple(_frame(code, line) for code, line in _traceback(error) if code.co_filename == FILENAME)[-MAX_FRAMES:]


def _traceback(error: BaseException) -> Iterator[tuple[types.CodeType, int]]:
    step = error.__traceback__
    while step is not None:
        yield step.tb_frame.f_code, step.tb_lineno
        step = step.tb_next


def _frame(code: types.CodeType, line: int | None) -> Frame:
    return Frame(line=line or 0, function=texts.cut(texts.one_line(code.co_name), 300))


def warm_up() -> None:
    """Load everything that a script can need later, while there is a file system: by really running one."""
    golden.load_codecs()
    run_script(compile_script(golden.SCRIPT), golden.READING, golden.CONTEXT, golden.Deaf())
    try:
        compile_script(golden.REFUSED)
    except PolicyRefused as refused:
        str(refused)
    try:
        run_script(compile_script(golden.FAILING), golden.READING, golden.CONTEXT, golden.Deaf())
    except AttributeError as error:
        describe(error)
    where(sys._getframe())
