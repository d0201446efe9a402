"""A compromised child says anything and ends as it likes: the host believes nothing, and is through in time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from revscript.errors import JailBroken
from revscript.jail import wire
from revscript.jail.effects import LabelMail
from revscript.methods.script import outcome_of
from revscript.model import FAILED_EXITS
from revscript.sandbox import ReaderDied, Sandbox, ScriptRun
from revscript.sandbox.conversation import GRACE, EndKind
from tests.wall.liars import (
    ASK,
    END,
    EXITS,
    LIMITS,
    LOG,
    PIECE,
    READING,
    STAYS,
    frame,
    json_frame,
    label,
    lying,
    raw_frame,
)

IN_TIME = LIMITS.wall / 1000 + GRACE + 5  # s, with time to spare on a busy machine
DRIP = "cat; while sleep 0.02; do printf x; done"
HALF = label()[:-1]
TABLES = {"units.csv": "a;b\n1;2\n"}


def run_script(sandbox: Sandbox, answer: Any = None) -> ScriptRun:
    """What `run_script` does with code that is compiled already."""
    return sandbox._run_script({"job": "script"}, [b"code"], TABLES, lambda _: answer)


def taken(sandbox: Sandbox, *indexes: int) -> list[tuple[int, bytes]]:
    """What `extract` hands over."""
    found: list[tuple[int, bytes]] = []

    def take(index: int, pieces: Iterator[bytes]) -> None:
        found.append((index, b"".join(pieces)))

    sandbox.extract([bytes(3000)], 3000, indexes, take)
    return found


def test_the_liars_can_tell_the_truth() -> None:
    """Otherwise the refusals below would prove nothing."""
    with lying(label(), LOG, ASK, END) as sandbox:
        finished = run_script(sandbox, [])
    assert (finished.end.kind, finished.effects, finished.log) == ("done", [LabelMail(text="x")], ["x"])
    assert [one.answer for one in finished.asked] == [[]]
    with lying(READING, END) as sandbox:
        assert sandbox.read([b"x"], 1).subject == ""
    with lying(PIECE, raw_frame(b"ab"), raw_frame(b"c"), frame("piece", index=1), raw_frame(b"d"), END) as sandbox:
        assert taken(sandbox, 0, 1) == [(0, b"abc"), (1, b"d")]


BAD_FRAMES = {
    "4 GB announced": wire.HEAD.pack(2**32 - 1, wire.JSON_FRAME),
    "one byte too much announced": wire.HEAD.pack(wire.MAX_JSON_FRAME + 1, wire.JSON_FRAME),
    "an unknown kind": wire.HEAD.pack(1, ord("Z")) + b"x",
    "an empty frame": json_frame(""),
    "no JSON": json_frame("hello"),
    "no UTF-8": json_frame(b'{"t":"log","text":"\xff"}'),
    "half a character": json_frame('{"t":"log","text":"\\ud83d"}'),
    "no object": json_frame("[]"),
    "no name": json_frame("{}"),
    "a name that is none": json_frame('{"t":["log"]}'),
    "an unknown name": frame("fire"),
    "the host's own frame": json_frame('{"job":"read"}'),
    "a key too many": frame("log", text="x", level=1),
    "a key too few": frame("log"),
    "a key that clears the screen": json_frame('{"t":"log","text":"x","\\u001b[2J\\n\\u202e":1}'),
    "a control character": frame("log", text="\x1b[2J"),
    "an unknown effect": frame("effect", effect={"effect": "delete_all"}),
    "an effect that breaks a limit": frame("effect", effect={"effect": "label_mail", "text": ""}),
    "NaN": frame("effect", effect={"effect": "open_mission", "fields": {"lat": float("nan")}}),
    "a number beyond all floats": frame("effect", effect={"effect": "file_form", "attachments": [10**400]}),
    "a number too long to read": json_frame('{"t":"piece","index":' + "9" * 10_000 + "}"),
    "an unknown question": frame("ask", question={"question": "who_are_you"}),
    "nested deeply": json_frame('{"t":' + "[" * 1_000_000),
    "another job's frame": READING,
    "another job's piece": PIECE,
    "raw bytes": raw_frame(b"x"),
    "an unknown end": frame("end", kind="fine"),
    "an end with a false line": frame(
        "end", kind="failed", trouble={"type": "E", "text": "", "frames": [{"line": -1}]}
    ),
    "more frames than a run may have": LOG * (wire.MAX_SCRIPT_FRAMES + 1),
    "more bytes than a run may have": frame("log", text="x" * wire.MAX_LOG_BYTES) * 130,
    "bytes after the end": END + b"x",
    "an end after the end": END + END,
}


@pytest.mark.parametrize("then", [EXITS, STAYS])
@pytest.mark.parametrize("bad", [pytest.param(bad, id=name) for name, bad in BAD_FRAMES.items()])
def test_a_broken_protocol(bad: bytes, then: str) -> None:
    """Whatever was wished before does not count, and what is said of it is one clean line."""
    started = time.monotonic()
    with lying(label(), bad, then=then) as sandbox:
        finished = run_script(sandbox)
    assert time.monotonic() - started < IN_TIME
    assert (finished.end.kind, finished.effects) == ("protocol", [LabelMail(text="x")])
    assert outcome_of("onEMail.py", finished).exit in FAILED_EXITS
    assert finished.end.trouble is not None
    assert finished.end.trouble.text.isprintable()
    assert len(finished.end.trouble.text) <= 600


@pytest.mark.parametrize(
    ("says", "then", "kind"),
    [
        pytest.param(b"", EXITS, "crash", id="nothing"),
        pytest.param(b"", STAYS, "time", id="silence"),
        pytest.param(HALF, EXITS, "crash", id="half a frame"),
        pytest.param(HALF, STAYS, "time", id="half a frame, then silence"),
        pytest.param(HALF[:3], STAYS, "time", id="half a head, then silence"),
        pytest.param(wire.HEAD.pack(1 << 20, wire.JSON_FRAME), DRIP, "time", id="a drip"),
        pytest.param(END, STAYS, "time", id="an end that is none"),
        pytest.param(b"", "exec cat /dev/zero", "protocol", id="zeros without end"),
        pytest.param(b"", "exec cat /dev/urandom", "protocol", id="noise without end"),
        pytest.param(b"", f"exit {wire.EXIT_TIME}", "time", id="the exit code of time"),
        pytest.param(b"", f"exit {wire.EXIT_CPU}", "cpu", id="the exit code of processor time"),
        pytest.param(b"", f"exit {wire.EXIT_MEMORY}", "memory", id="the exit code of memory"),
        pytest.param(b"", f"exit {wire.EXIT_CAP}", "cap", id="the exit code of output"),
        pytest.param(b"", "kill -SYS $$", "protocol", id="a forbidden call"),
        pytest.param(b"", "kill -SEGV $$", "crash", id="a crash"),
        pytest.param(b"", "kill -ABRT $$", "memory", id="an abort"),
    ],
)
def test_an_end_without_a_word(says: bytes, then: str, kind: EndKind) -> None:
    started = time.monotonic()
    with lying(label(), says, then=then) as sandbox:
        finished = run_script(sandbox)
    assert time.monotonic() - started < IN_TIME
    assert finished.end.kind == kind
    assert outcome_of("onEMail.py", finished).exit in FAILED_EXITS


def test_a_child_that_asks_and_asks_and_never_listens() -> None:
    """Its answers fill the socket: the host must not wait for each of them."""
    started = time.monotonic()
    with lying(ASK * 900, then=STAYS) as sandbox:
        finished = run_script(sandbox, ["x" * 100_000])
    assert time.monotonic() - started < IN_TIME
    assert finished.end.kind == "time"


def test_a_child_that_does_not_take_its_job() -> None:
    started = time.monotonic()
    with lying(then="exec sleep 60") as sandbox:
        finished = sandbox._run_script({"job": "x" * 5_000_000}, [b"code"], {}, lambda _: None)
    assert time.monotonic() - started < IN_TIME
    assert finished.end.kind == "time"


def test_a_child_that_could_not_be_confined_is_our_own_fault() -> None:
    trouble = {"type": "OSError", "text": "no new privileges: not permitted"}
    with lying(frame("end", kind="jail", trouble=trouble)) as sandbox, pytest.raises(JailBroken, match="no new priv"):
        run_script(sandbox)


# ---------------------------------------------------------------- readers


@pytest.mark.parametrize(
    "says",
    [
        pytest.param([END], id="no reading"),
        pytest.param([READING], id="no end"),
        pytest.param([label(), READING, END], id="an effect"),
        pytest.param([PIECE, raw_frame(b"x"), END], id="a file first"),
        pytest.param([raw_frame(b"x"), READING, END], id="raw bytes"),
        pytest.param([frame("reading", reading={"subject": "a\nb"}), END], id="a subject of two lines"),
        pytest.param([frame("reading", reading={"text": "x" * 1_000_001}), END], id="too long a text"),
        pytest.param([frame("reading", reading={"date": "tomorrow"}), END], id="no date"),
        pytest.param([frame("reading", reading={"date": "2026-03-01T12:00:00"}), END], id="a date without offset"),
        pytest.param([frame("reading", reading={"date": "0001-01-01T00:00:00+14:00"}), END], id="a date before all"),
        pytest.param([frame("reading", reading={"date": "9999-12-31T23:59:59-14:00"}), END], id="a date after all"),
        pytest.param([frame("reading", reading={"headers": [["Subject"]]}), END], id="half a header field"),
        pytest.param([frame("reading", reading={"headers": [["a", "b", "c"]]}), END], id="too much of a header field"),
        pytest.param([frame("reading", reading={"headers": [[]]}), END], id="nothing of a header field"),
    ],
)
def test_a_reading_that_is_none(says: list[bytes]) -> None:
    with lying(*says) as sandbox, pytest.raises(ReaderDied):
        sandbox.read([b"x"], 1)


@pytest.mark.parametrize(
    "says",
    [
        pytest.param([END], id="nothing"),
        pytest.param([PIECE], id="no end"),
        pytest.param([frame("piece", index=1), raw_frame(b"x"), END], id="another one"),
        pytest.param([PIECE, raw_frame(bytes(wire.MAX_RAW_FRAME)), END], id="more than the mail has"),
        pytest.param([PIECE, wire.HEAD.pack(wire.MAX_RAW_FRAME + 1, wire.RAW_FRAME)], id="too large a frame"),
        pytest.param([PIECE, raw_frame(b"") * 1000, END], id="frames of nothing"),
        pytest.param([PIECE, READING, END], id="a reading"),
    ],
)
def test_an_attachment_that_is_none(says: list[bytes]) -> None:
    with lying(*says) as sandbox, pytest.raises(ReaderDied):
        taken(sandbox, 0)


def test_an_attachment_comes_once() -> None:
    with lying(PIECE, raw_frame(b"first"), PIECE, raw_frame(b"second"), END) as sandbox:
        assert taken(sandbox, 0) == [(0, b"first")]


# ---------------------------------------------------------------- anything else

_frames = st.one_of(
    st.sampled_from([label(), LOG, ASK, READING, PIECE, END, raw_frame(b"x"), frame("end", kind="failed")]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["t", "effect", "kind", "text"]), inner)
        ),
        max_leaves=8,
    ).map(lambda value: frame("log", text=value) if isinstance(value, str) else frame("effect", effect=value)),
    st.binary(max_size=40).map(json_frame),
    st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 255)).map(lambda head: wire.HEAD.pack(*head)),
    st.binary(max_size=20),
)


@settings(max_examples=300, derandomize=True, database=None, deadline=None)
@given(st.lists(_frames, max_size=6), st.integers(0, 200), st.sampled_from(["script", "read", "extract"]))
def test_whatever_a_child_says_the_host_stays_on_its_feet(frames: list[bytes], cut: int, job: str) -> None:
    says = b"".join(frames)
    started = time.monotonic()
    with lying(says[: len(says) - cut] if cut < 50 else says) as sandbox:
        try:
            if job == "script":
                assert run_script(sandbox).end.kind in {"done", "failed", "protocol", "crash", "time"}
            elif job == "read":
                sandbox.read([b"x"], 1)
            else:
                taken(sandbox, 0)
        except ReaderDied:
            assert job != "script"
    assert time.monotonic() - started < IN_TIME
