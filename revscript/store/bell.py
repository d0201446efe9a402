"""The bell: who has committed something rings it, who waits for such things is woken.

Other processes' commits (a command beside the host) are noticed by the database's data version and ring every topic: a
topic is only a shortcut, everybody looks into the store for what there is to do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

Topic = Literal["received", "finished", "act"]  # a mail came in; a mail's tasks are done; the outbox has an act
TOPICS: tuple[Topic, ...] = get_args(Topic)
Wake = Callable[[str | None], None]


class Bell:
    """Wakes whoever listens; a listener only sets a flag, it never works in the ringer's thread."""

    def __init__(self) -> None:
        self._listeners: dict[Topic, list[Wake]] = {topic: [] for topic in TOPICS}

    def listen(self, topic: Topic, wake: Wake) -> None:
        """Call `wake(about)` whenever the topic is rung; `about` is an account's name, None may be any."""
        self._listeners[topic].append(wake)

    def leave(self, topic: Topic, wake: Wake) -> None:
        """No longer call `wake`."""
        self._listeners[topic] = [one for one in self._listeners[topic] if one != wake]

    def ring(self, topic: Topic, about: str | None = None) -> None:
        """Wake those who listen to a topic."""
        for wake in self._listeners[topic]:
            wake(about)

    def ring_all(self) -> None:
        """Somebody else has committed, and we do not know what."""
        for topic in TOPICS:
            self.ring(topic)
