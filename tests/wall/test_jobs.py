"""What the jail is for: reading, extracting, checking, running."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from revscript.jail.effects import LabelMail
from revscript.jail.questions import FindMission, RunningMissions
from revscript.sandbox import ReaderDied, Sandbox
from revscript.sandbox.memory_file import memory_file
from tests.wall.kit import MAIL, run, take_nothing


def test_reading_a_mail(sandbox: Sandbox) -> None:
    reading = sandbox.read([MAIL[:100], MAIL[100:]], len(MAIL))
    assert (reading.subject, reading.text) == ("B 3", "Einsatznummer 990007")
    assert [(one.name, one.type, one.size) for one in reading.attachments] == [
        ("fax.pdf", "application/pdf", 9),
        ("lage.txt", "text/plain", 4),
    ]
    assert not reading.fallback


def test_reading_the_head_only(sandbox: Sandbox) -> None:
    reading = sandbox.read([MAIL], len(MAIL), headers_only=True)
    assert (reading.subject, reading.text, reading.attachments) == ("B 3", "", ())


def test_reading_nothing(sandbox: Sandbox) -> None:
    assert sandbox.read([], 0).subject == ""


def test_extracting_attachments(sandbox: Sandbox) -> None:
    found: dict[int, bytes] = {}

    def take(index: int, pieces: Iterator[bytes]) -> None:
        found[index] = b"".join(pieces)

    sandbox.extract([MAIL], len(MAIL), (1, 0), take)
    assert found == {0: b"%PDF-1.4\n", 1: b"zwei"}


def test_small_attachments_come_along_with_the_reading(sandbox: Sandbox) -> None:
    reading, files = sandbox.read_with_files([MAIL], len(MAIL))
    assert reading == sandbox.read([MAIL], len(MAIL))
    assert files == {0: b"%PDF-1.4\n", 1: b"zwei"}


def test_pieces_that_nobody_takes_are_skipped(sandbox: Sandbox) -> None:
    found: list[int] = []
    sandbox.extract([MAIL], len(MAIL), (0, 1), lambda index, _: found.append(index))
    assert found == [0, 1]


def test_an_attachment_that_is_not_there(sandbox: Sandbox) -> None:
    with pytest.raises(ReaderDied):
        sandbox.extract([MAIL], len(MAIL), (0, 7), take_nothing)


def test_checking_a_script(sandbox: Sandbox) -> None:
    assert sandbox.check_script("def onEMail(mail):\n    mail.ignore('x')\n").problems == ()
    (problem,) = sandbox.check_script("def onEMail(mail):\n    x = mail.__class__\n").problems
    assert (problem.line, "__class__" in problem.text) == (2, True)
    assert sandbox.check_script("def onEMail(mail:\n").problems[0].line == 1


def test_a_run_brings_effects_questions_and_a_log(sandbox: Sandbox) -> None:
    asked: list[Any] = []

    def answer(question: Any) -> Any:
        asked.append(question)
        return [] if isinstance(question, RunningMissions) else None

    finished = run(sandbox, "mail.label('Feuer')\nprint('läuft', missions.running())\nmissions.find('990007')", answer)
    assert finished.end.kind == "done"
    assert finished.effects == [LabelMail(text="Feuer")]
    assert finished.log == ["läuft []"]
    assert asked == [RunningMissions(), FindMission(number="990007")]
    assert [(one.question["question"], one.answer) for one in finished.asked] == [
        ("running_missions", []),
        ("find_mission", None),
    ]


def test_a_refused_script_does_not_run(sandbox: Sandbox) -> None:
    finished = run(sandbox, "mail.label('x')\nimport os.path as p\nmail.__class__")
    assert (finished.end.kind, finished.effects) == ("refused", [])
    assert [problem.line for problem in finished.end.problems][-1] == 4


def test_runs_do_not_know_of_each_other(sandbox: Sandbox) -> None:
    def label(number: int) -> Any:
        return run(sandbox, f"mail.label('{number}')").effects

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(label, range(24))) == [[LabelMail(text=str(number))] for number in range(24)]


def test_an_answer_that_cannot_be_given_ends_the_run(sandbox: Sandbox) -> None:
    def answer(_: Any) -> Any:
        raise OSError("the store is gone")

    with pytest.raises(OSError, match="the store is gone"):
        run(sandbox, "missions.running()", answer)
    assert run(sandbox, "mail.label('x')").effects == [LabelMail(text="x")]


def test_a_mails_memory_is_sealed() -> None:
    """Host and child share it: nobody can change it under the other's eyes, not even we."""
    with memory_file([b"ab", b"cd"]) as descriptor:
        assert os.pread(descriptor, 10, 0) == b"abcd"
        for change in (
            lambda: os.pwrite(descriptor, b"x", 0),
            lambda: os.ftruncate(descriptor, 0),
            lambda: os.ftruncate(descriptor, 100),
            lambda: mmap.mmap(descriptor, 4, prot=mmap.PROT_WRITE),
        ):
            with pytest.raises(PermissionError):
                change()
        assert os.pread(descriptor, 10, 0) == b"abcd"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
