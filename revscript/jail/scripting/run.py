"""A run of a script: from its code to its effects, and what can be said when it does not end well."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterable, Iterator, Mapping

from revscript.jail.reading.model import Reading
from revscript.jail.scripting import golden, table_files, texts
from revscript.jail.scripting.libraries import MAIN, Libraries, Load
from revscript.jail.scripting.objects import Desk, Mail, names_for
from revscript.jail.scripting.outline import ENTRY
from revscript.jail.scripting.policy import FILENAME, PolicyRefused, compile_script
from revscript.jail.scripting.session import Session
from revscript.jail.wire import Frame, RunContext, ScriptTrouble

MAX_FRAMES = 20  # the limit of ScriptTrouble.frames
_GENERATOR = 0x20  # inspect.CO_GENERATOR, without loading inspect


def run_script(
    code: types.CodeType,
    reading: Reading,
    context: RunContext,
    session: Session,
    libraries: Mapping[str, Load] = types.MappingProxyType({}),
    tables: tuple[str, ...] = (),
) -> None:
    """Execute the script's body, then `onEMail(mail)`; raises whatever the script raises.

    `libraries`: how to get the code of each; `tables`: the files of which the session gives the text.
    """
    desk = Desk(reading, context, session, tables)
    names = Libraries(libraries, names_for(desk)).names_of(MAIN)
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
    """The frames of script and libraries above and including this one, innermost last; for handlers of deadlines."""
    return _shown(_above(frame))


def _above(frame: types.FrameType | None) -> Iterator[tuple[types.FrameType, int | None]]:
    while frame is not None:
        yield frame, frame.f_lineno
        frame = frame.f_back


def _frames(error: BaseException) -> tuple[Frame, ...]:
    return _shown(reversed(list(_traceback(error))))


def _traceback(error: BaseException) -> Iterator[tuple[types.FrameType, int | None]]:
    step = error.__traceback__
    while step is not None:
        yield step.tb_frame, step.tb_lineno
        step = step.tb_next


def _shown(steps: Iterable[tuple[types.FrameType, int | None]]) -> tuple[Frame, ...]:
    """The innermost ones, given innermost first; the innermost of the script itself is always among them."""
    found: list[Frame] = []
    main_seen = False
    for frame, line in steps:
        if frame.f_code.co_filename != FILENAME:
            continue
        title = frame.f_globals["__name__"]  # no script can write it
        if len(found) == MAX_FRAMES:
            if main_seen:
                break
            if title != MAIN:
                continue
            found.pop()
        main_seen = main_seen or title == MAIN
        function = frame.f_code.co_name if title == MAIN else f"{title}.py in {frame.f_code.co_name}"
        found.append(Frame(line=line or 0, function=texts.cut(texts.one_line(function), 300)))
    return tuple(reversed(found))


def run_golden() -> None:
    """Use everything once."""
    libraries = {"helpers": lambda: compile_script(golden.LIBRARY, library=True)}
    code = compile_script(golden.SCRIPT)
    run_script(code, golden.READING, golden.CONTEXT, golden.Deaf(), libraries, tuple(golden.TABLES))


def warm_up() -> None:
    """Load everything that a script can need later, while there is a file system: by really running one."""
    golden.load_codecs()
    run_golden()
    try:
        compile_script(golden.REFUSED)
    except PolicyRefused as refused:
        str(refused)
    for file, text in golden.BAD_TABLES.items():
        try:
            table_files.parse(file, text)
        except table_files.BadTable as bad:
            str(bad)
    try:
        run_script(compile_script(golden.FAILING), golden.READING, golden.CONTEXT, golden.Deaf())
    except AttributeError as error:
        describe(error)
    where(sys._getframe())
