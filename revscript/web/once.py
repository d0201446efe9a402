"""Asking something that may hang, without hanging along."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

_Answer = TypeVar("_Answer")


class Once(Generic[_Answer]):
    """A question that at most one thread works on: who asks meanwhile waits for the same answer, and not for ever."""

    def __init__(self, name: str, work: Callable[[], _Answer], patience: float) -> None:
        self._name = name
        self._work = work
        self._patience = patience
        self._guard = threading.Lock()
        self._under_way: Future[_Answer] | None = None

    def __call__(self) -> _Answer:
        """The answer; TimeoutError when it does not come in time, else what the work raises."""
        with self._guard:
            future = self._under_way
            if future is None or future.done():
                future = self._under_way = Future[_Answer]()
                threading.Thread(target=self._run, args=(future,), name=f"ask-{self._name}", daemon=True).start()
        return future.result(self._patience)

    def _run(self, future: Future[_Answer]) -> None:
        try:
            future.set_result(self._work())
        except BaseException as error:  # noqa: BLE001 - handed on to those who wait
            future.set_exception(error)
