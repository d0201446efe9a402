"""The host's own clock: has somebody moved it, and do the servers agree with it.

A jump shows against the steady clock at once; the servers' dates decide later which time is right. From a jump on the
clock is not trusted until the dates of servers confirm it, or it jumps back. No time-out ends that: not to trust means
only that no mail is treated as late and that nothing old is deleted, while trusting a wrong clock can turn a fresh
alarm into an old one.

SECURITY: dates come from servers, and through IMAP APPEND from whoever may write into a mailbox. What they can do at
most is to make the clock count as wrong, or as right again after a jump. To delete by it, it must not be ahead; that
the servers' clocks have come that far, only somebody who forges a date in the future could feign.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

from revscript.health.clock_memory import ClockMemory, Jump, Noted
from revscript.health.evidence import TOLERANCE, Sample, Witness, verdict
from revscript.model import Clock, Problem, ProblemSink

JUMP = TOLERANCE  # s of difference to the steady clock within one check: somebody has set the clock
RESOLUTION = 1.0  # s: dates of servers have no fractions
MOST_SOURCES = 1000  # servers remembered
MOST_JUMPS = 10  # jumps remembered
NOTED_EVERY = 60.0  # s between notes for the next start
A_DAY = timedelta(days=1)

PROBLEM = "clock"
_WAY_OUT = (
    "Let the machine take its time from the network: `timedatectl set-ntp true`, or chrony; `timedatectl` shows "
    "whether it is synchronised. Until the dates of mail servers or of HTTPS answers confirm the clock, no mail is "
    "treated as late and nothing old is deleted."
)

log = structlog.get_logger()


def steady_clock() -> float:
    """Seconds that go on evenly, also while the machine sleeps: waking up is no jump."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class HostClock:
    """Watches the host's clock; a `model.ClockEvidence`. `steady` gives seconds that nobody can set.

    With a `memory`, what is known outlives a restart.
    """

    def __init__(
        self,
        clock: Clock,
        problems: ProblemSink,
        steady: Callable[[], float] = steady_clock,
        memory: ClockMemory | None = None,
    ) -> None:
        self._clock = clock
        self._problems = problems
        self._steady = steady
        self._memory = memory
        self._guard = threading.Lock()
        self._anchor = (clock(), steady())
        self._believed = 0.0  # s that the servers' clock is ahead of ours; 0.0: ours is right
        self._confirmed = False  # a server has shown that ours is not ahead, and nobody has set it since
        self._jumps: list[Jump] = []  # oldest first
        self._witnesses: dict[str, Witness] = {}
        self._noted: Noted | None = None
        if memory is not None and (noted := memory.last()) is not None:
            self._resume(noted, same_boot=memory.of_this_boot(noted))

    @property
    def trusted(self) -> bool:
        """Whether times of mails may be compared with this clock: no jump is unconfirmed, no server contradicts."""
        with self._guard:
            self._look()  # it may have been set since the last check
            return self._believed == 0.0

    @property
    def confirmed(self) -> bool:
        """Whether old things may be deleted by this clock: it is trusted, and a server's date has borne it out.

        Since the machine was booted, or within the last day before that.
        """
        with self._guard:
            self._look()
            return self._believed == 0.0 and self._confirmed

    @property
    def offset(self) -> float:
        """Seconds that the servers' clock is ahead of ours, as far as it is known; for the metrics."""
        with self._guard:
            return self._believed

    def moved_since(self, then: datetime) -> timedelta:
        """By how much the clock was set since it showed `then`, as far as is known; where that is open, the least.

        A jump is noticed some seconds after it.
        """
        with self._guard:
            self._look()
            seconds = 0.0
            for jump in reversed(self._jumps):
                if then >= jump.after - timedelta(seconds=JUMP):
                    break
                seconds += jump.seconds
            return timedelta(seconds=seconds)

    def check(self) -> None:
        """Compare with the steady clock; call it every few seconds. Never raises."""
        with self._guard:
            self._look()
            known = self._known()
        self._note(known)
        self._conclude()

    def dated(self, source: str, date: datetime, earliest: datetime) -> None:
        """`source` (a mail server) put this date on a mail that came between `earliest` (our clock) and now."""
        self._hear(source, date, earliest, strong=False)

    def answered(self, host: str, date: datetime, asked: datetime) -> None:
        """`host` gave this `Date` in an HTTPS answer; `asked` is when the request was sent, by our clock."""
        self._hear(f"https://{host}", date, asked, strong=True)

    # ------------------------------------------------------------ jumps

    def _look(self) -> None:
        now, steady = self._clock(), self._steady()
        expected = self._anchor[0] + timedelta(seconds=steady - self._anchor[1])
        self._anchor = (now, steady)  # slow drift, and what NTP corrects in small steps, is no jump
        moved = (now - expected).total_seconds()
        if abs(moved) <= JUMP:
            return
        log.warning("the clock was set", seconds=round(moved), before=expected.isoformat(), after=now.isoformat())
        self._jumps = [*self._jumps, Jump(seconds=moved, before=expected, after=now)][-MOST_JUMPS:]
        self._confirmed = False
        for witness in self._witnesses.values():
            witness.shift(moved)
        left = self._believed - moved
        self._believed = 0.0 if abs(left) <= TOLERANCE else left

    # ------------------------------------------------------------ across restarts

    def _resume(self, noted: Noted, *, same_boot: bool) -> None:
        now, steady = self._anchor
        self._believed, self._confirmed, self._jumps = noted.believed, noted.confirmed, list(noted.jumps)
        if same_boot:
            self._anchor = (noted.wall, noted.steady)  # what happened since, the next look sees
        elif now < noted.wall:
            self._anchor = (noted.wall, steady)  # time has gone on since; nobody knows how far
        else:
            self._confirmed = noted.confirmed and now - noted.wall <= A_DAY

    def _known(self) -> Noted:
        wall, steady = self._anchor
        jumps = tuple(self._jumps)
        return Noted(wall=wall, steady=steady, believed=self._believed, confirmed=self._confirmed, jumps=jumps)

    def _note(self, known: Noted) -> None:
        """Each minute, and at once when something else is known than before; the store may take its time."""
        if self._memory is None:
            return
        last = self._noted
        if last is None or not last.says_the_same(known) or known.steady - last.steady >= NOTED_EVERY:
            self._noted = known
            self._memory.note(known)

    # ------------------------------------------------------------ dates

    def _hear(self, source: str, date: datetime, earliest: datetime, *, strong: bool) -> None:
        if date.tzinfo is None or earliest.tzinfo is None:
            return  # nobody knows which time it means
        with self._guard:
            self._look()
            now = self._clock()
            if earliest > now or (self._jumps and earliest < self._jumps[-1].after):
                return  # read before the clock was set: compared with the present one it says nothing
            sample = Sample(
                (date - now).total_seconds(), (date - earliest).total_seconds() + RESOLUTION, self._steady()
            )
            if source not in self._witnesses and len(self._witnesses) >= MOST_SOURCES:
                return
            witness = self._witnesses.setdefault(source, Witness(strong=strong))
            witness.add(sample)
            self._judge()
        self._conclude()

    def _judge(self) -> None:
        steady, said = self._steady(), list[tuple[float, bool]]()
        for witness in self._witnesses.values():
            offset = witness.says(self._believed, steady)
            if offset is not None:
                said.append((offset, witness.strong))
        before, self._believed = self._believed, verdict(said, self._believed)
        if any(witness.bears_out(steady) for witness in self._witnesses.values()):
            self._confirmed = True
        if before != 0.0 and self._believed == 0.0:
            log.info("the clock is confirmed", was=round(before))

    # ------------------------------------------------------------ telling

    def _conclude(self) -> None:
        with self._guard:
            believed, jump = self._believed, self._jumps[-1] if self._jumps else None
        if believed == 0.0:
            self._problems.clear(PROBLEM)
        else:
            self._problems.report(Problem(PROBLEM, "host", _told(believed, jump), _WAY_OUT))


def _told(believed: float, jump: Jump | None) -> str:
    if jump is not None and abs(jump.seconds + believed) <= TOLERANCE:
        way = "back" if jump.seconds < 0 else "forward"
        when = f"from {jump.before.astimezone(UTC):%d.%m.%Y %H:%M} to {jump.after.astimezone(UTC):%H:%M} UTC"
        return f"The host's clock was set {way} by {span(jump.seconds)}, {when}; no server has confirmed it yet."
    way = "behind" if believed > 0 else "ahead of"
    return f"The host's clock is {span(believed)} {way} the clocks of the servers, as far as is known."


def span(seconds: float) -> str:
    """A duration for people, in the unit that fits."""
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        if abs(seconds) >= 2 * size:
            return f"{abs(seconds) / size:.0f} {unit}"
    return f"{abs(seconds):.0f} s"
