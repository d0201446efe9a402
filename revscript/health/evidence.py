"""What servers' dates say about this host's clock.

A sample bounds how far the servers' clock is ahead of ours, in seconds. Mails are weak witnesses: a mail that somebody
moves into a watched folder keeps its old date (RFC 9051 §6.4.7), so that an old date alone proves nothing. That the
server's clock has reached a mail's date, however, no moving can feign. The newest samples of a server that agree decide
what it says:

    right now     2 mails whose dates fit the present clock
    we are behind 2 mails with dates in our future
    we are ahead  4 mails in a row, equally old and each `APART` after the other, and no younger one among them
    HTTPS         1 answer when right, 2 that agree when wrong: its Date is made while we wait (RFC 9110 §6.6.1), unless
                  a cache has kept it

For deleting, less is enough: our clock must not be far ahead. 2 mails, or 1 HTTPS answer, of the last day show that,
however rarely a mailbox is looked into.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import inf

TOLERANCE = 120.0  # s of difference that harm nobody: less than mail needs on its way
ALIKE = 10.0  # s within which dates are equally old
APART = 120.0  # s between looks that count as separate
FRESH = 6 * 3600.0  # s for which a sample counts
KEPT = 20  # samples of each server
NARROW = 300.0  # s between two looks, within which an old date means something
RIGHT, BEHIND, AHEAD = 2, 2, 4  # mails that must agree
STRONG = 2  # HTTPS answers that must agree
DAY = 86_400.0  # s


@dataclass(frozen=True, slots=True)
class Sample:
    """The server's clock is between `low` and `high` seconds ahead of ours; `at` is when, on the steady clock."""

    low: float
    high: float
    at: float

    @property
    def narrow(self) -> bool:
        """Whether it says within minutes when the mail came."""
        return self.high - self.low <= NARROW

    def fits(self, offset: float, slack: float = TOLERANCE) -> bool:
        """Whether the offset is possible."""
        return self.low - slack <= offset <= self.high + slack

    def nearest(self, offset: float) -> float:
        """The possible offset that is nearest to this one."""
        return min(max(offset, self.low), self.high)


class Witness:
    """The samples of one server."""

    def __init__(self, *, strong: bool) -> None:
        self.strong = strong
        self._samples: deque[Sample] = deque(maxlen=KEPT)

    def add(self, sample: Sample) -> None:
        """A new sample. Of several equally dated mails one counts; of one look at old mails the youngest."""
        if self._samples:
            last = self._samples[-1]
            if sample.high < -TOLERANCE and last.high < -TOLERANCE and sample.at - last.at < APART:
                self._samples[-1] = replace(max(sample, last, key=lambda one: one.high), at=last.at)
                return
        self._samples.append(sample)

    def shift(self, jump: float) -> None:
        """Our clock has jumped: the server is that much less ahead of it."""
        self._samples = deque((replace(one, low=one.low - jump, high=one.high - jump) for one in self._samples), KEPT)

    def says(self, believed: float, now: float) -> float | None:
        """Seconds that this server is ahead of us; 0.0 when our clock is right, None when it cannot tell."""
        newest = [one for one in reversed(self._samples) if now - one.at <= FRESH]
        if self.strong:
            return _answered(newest)
        return _decided(newest, believed)

    def bears_out(self, now: float) -> bool:
        """Whether this server's clock has come at least to the day before ours."""
        reached = sum(one.low >= -DAY for one in self._samples if now - one.at <= FRESH)
        return reached >= (1 if self.strong else RIGHT)


def _answered(newest: Sequence[Sample]) -> float | None:
    """By HTTPS: the last answer when it fits, else what the last ones agree on."""
    if newest and newest[0].fits(0.0):
        return 0.0
    return _common(newest[:STRONG], STRONG, TOLERANCE)


def _decided(newest: Iterable[Sample], believed: float) -> float | None:
    """The first group of agreeing samples that is complete, from the newest on."""
    right = 0
    behind: list[Sample] = []
    ahead: list[Sample] = []
    reached = -inf  # s by which the server is ahead of us at least
    for one in newest:
        reached = max(reached, one.low)
        if one.fits(0.0):
            right += one.narrow if believed == 0.0 else not one.fits(believed)  # else it fits anything
            if right == RIGHT:
                return 0.0
        elif one.low > 0:
            behind.append(one)
            if (offset := _common(behind, BEHIND, TOLERANCE)) is not None:
                return offset
        elif one.narrow:
            ahead.append(one)
            if (offset := _common(ahead, AHEAD, ALIKE)) is not None and offset > reached - TOLERANCE:
                return offset
    return None


def _common(samples: Sequence[Sample], count: int, slack: float) -> float | None:
    """The offset on which the last samples agree, that many of them in a row."""
    if len(samples) < count:
        return None
    last = samples[-count:]
    low, high = max(one.low for one in last), min(one.high for one in last)
    return (low + high) / 2 if low - slack <= high else None


def verdict(opinions: Iterable[tuple[float, bool]], believed: float) -> float:
    """What the servers say together: (offset, strong) of each → the offset to believe.

    Strong ones outvote the weak. Where equally many say different things, what was believed stays.
    """
    told = list(opinions)
    strong = [offset for offset, is_strong in told if is_strong]
    votes = strong or [offset for offset, _ in told]
    if not votes:
        return believed
    support = {offset: sum(abs(offset - other) <= TOLERANCE for other in votes) for offset in votes}
    most = max(support.values())
    best = [offset for offset, count in support.items() if count == most]
    if max(best) - min(best) > TOLERANCE:
        return believed
    return 0.0 if 0.0 in best else best[0]
