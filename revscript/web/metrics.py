"""The metrics in Prometheus' text format: everything that `revscript status` shows, and how it changes.

Labels are bounded: accounts and folders are those of the administrator's files, mails of others stand under `(gone)`.
Ages are by the host's clock, as the store has them; what never happened is infinitely long ago, so that an alert on a
great age fires.
"""

from __future__ import annotations

import platform
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from math import inf

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from revscript import __version__
from revscript.config import Mailbox
from revscript.errors import StoreError
from revscript.health import Standing
from revscript.model import Clock
from revscript.snapshot import Snapshot
from revscript.store import upkeep
from revscript.store.database import Database
from revscript.store.measures import Box, Flight, Grown, Standings, Tally, boxes, flights, standings
from revscript.web.server import Answer

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
GONE = "(gone)"  # accounts of which there are mails, but no file
MODES = ("push", "poll", "down")
ACT_STATES = ("pending", "sent", "dead")
EXITS = ("done", "ignored", "unhandled", "refused", "failed", "stopped", "protocol")
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, inf)  # s of CPU time of a script's run

_FOLDER = ("account", "folder")
_NEVER = Box(mode="", last_ok=None, next_poll=None, mail_at=None, read_by_others=0, error="")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the numbers come from; the callables are asked on each scrape.

    `clock_offset`: seconds that the servers' clocks are ahead of this host's.
    """

    database: Database
    snapshot: Callable[[], Snapshot]
    standing: Callable[[], Sequence[Standing]]
    zygote_alive: Callable[[], bool]
    clock_trusted: Callable[[], bool]
    clock_offset: Callable[[], float]
    clock: Clock


class Metrics(Collector):
    """Collects on demand. For one thread at a time; counters begin with this object."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._tally = Tally(sources.database)
        self._received: Counter[str] = Counter()
        self._runs: Counter[str] = Counter()
        self._buckets = [0] * len(BUCKETS)
        self._cpu_seconds = 0.0
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def answer(self) -> Answer:
        """The metrics as an answer to a scrape."""
        return Answer(200, CONTENT_TYPE, generate_latest(self._registry))

    def describe(self) -> Iterable[Metric]:
        """Nothing: names are known only when they are collected."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All metrics; those that the database cannot give now are left out."""
        yield from self._host()
        try:
            stored = self._stored()
        except StoreError as error:
            log.warning("metrics without the database", why=str(error))
            stored = []
        yield _gauge("database_up", "Whether the database answered this scrape.", float(bool(stored)))
        yield from stored

    def _stored(self) -> list[Metric]:
        database, now = self._sources.database, self._sources.clock()
        self._grow(self._tally.look())
        waiting = standings(database)
        return [
            *self._mailboxes(boxes(database), now),
            *self._mails(waiting, now),
            *_acts(waiting, now),
            *self._growing(),
            *_canaries(flights(database, self._accounts()), now),
            *_files(upkeep.sizes(database)),
        ]

    def _grow(self, grown: Grown) -> None:
        for account, count in grown.mails.items():
            self._received[self._known(account)] += count
        for word, by_script, seconds in grown.runs:
            self._runs[word] += 1
            if by_script:
                self._buckets[bisect_left(BUCKETS, seconds)] += 1
                self._cpu_seconds += seconds

    # ------------------------------------------------------------ in memory

    def _host(self) -> Iterator[Metric]:
        sources = self._sources
        build = GaugeMetricFamily("revscript_build_info", "What runs; always 1.", labels=("version", "python"))
        build.add_metric((__version__, platform.python_version()), 1)
        yield build
        yield _gauge("zygote_alive", "Whether the jail can start runs.", float(sources.zygote_alive()))
        yield _gauge("clock_trusted", "Whether the clock agrees with the servers'.", float(sources.clock_trusted()))
        yield _gauge("clock_offset_seconds", "How far the servers' clocks are ahead of ours.", sources.clock_offset())
        severities = Counter(one.problem.severity for one in sources.standing())
        counts = {severity: severities[severity] for severity in ("error", "warning")}
        yield _gauges("problems", "Open problems.", "severity", counts)

    # ------------------------------------------------------------ stored

    def _accounts(self) -> list[str]:
        return list(self._sources.snapshot().accounts)

    def _known(self, account: str) -> str:
        return account if account in self._sources.snapshot().accounts else GONE

    def _by_account(self, counts: Mapping[str, int]) -> Counter[str]:
        """Counts of every account that has a file, and of all others together."""
        found = Counter(dict.fromkeys(self._accounts(), 0))
        for account, count in counts.items():
            found[self._known(account)] += count
        return found

    def _mailboxes(self, found: Mapping[Mailbox, Box], now: datetime) -> Iterator[Metric]:
        mode = _family("mailbox_mode", "How new mails are noticed: 1 for the present mode.", *_FOLDER, "mode")
        ok = _family("mailbox_last_ok_age_seconds", "Since the last round trip that the server answered.", *_FOLDER)
        due = _family("mailbox_next_poll_seconds", "Until the next poll is due; negative: it is late.", *_FOLDER)
        last = _family("mailbox_last_mail_age_seconds", "Since a new mail was received.", *_FOLDER)
        others = CounterMetricFamily(
            "revscript_mailbox_read_by_others", "Mails that somebody else had read before us.", labels=_FOLDER
        )
        for account in self._sources.snapshot().accounts.values():
            for key in account.mailboxes() if account.enabled else ():
                box, which = found.get(key, _NEVER), (account.name, key.folder)
                for word in MODES:
                    mode.add_metric((*which, word), float(box.mode == word))
                ok.add_metric(which, _age(box.last_ok, now))
                if box.next_poll is not None:
                    due.add_metric(which, (box.next_poll - now).total_seconds())
                last.add_metric(which, _age(box.mail_at, now))
                others.add_metric(which, box.read_by_others)
        return iter((mode, ok, due, last, others))

    def _mails(self, waiting: Standings, now: datetime) -> Iterator[Metric]:
        mails = _family("mails", "Mails by state.", "account", "state")
        oldest = _family(
            "mail_oldest_unfinished_age_seconds",
            "Since the oldest mail was received that still has to be worked, those in quarantine apart; 0: none.",
            "account",
        )
        unfinished: Counter[tuple[str, str]] = Counter()
        for (account, state), count in waiting.unfinished.items():
            unfinished[self._known(account), state] += count
        ages: dict[str, float] = {}
        for account, since in waiting.oldest_work.items():
            ages[self._known(account)] = max(ages.get(self._known(account), 0.0), _age(since, now))
        for account, total in self._by_account(self._tally.mails).items():
            counts = {state: unfinished[account, state] for state in ("received", "read")}
            counts["done"] = max(0, total - sum(counts.values()))
            for state, count in counts.items():
                mails.add_metric((account, state), count)
            oldest.add_metric((account,), ages.get(account, 0.0))
        held = self._by_account(waiting.quarantined)
        yield from (mails, oldest, _gauges("tasks_quarantined", "Tasks that wait for a person.", "account", held))

    def _growing(self) -> Iterator[Metric]:
        received = CounterMetricFamily("revscript_mails_received", "Mails received.", labels=("account",))
        for account, count in self._by_account(self._received).items():
            received.add_metric((account,), count)
        runs = CounterMetricFamily("revscript_runs", "Runs of methods, by their end.", labels=("exit",))
        for word in EXITS:
            runs.add_metric((word,), self._runs[word])
        cpu = HistogramMetricFamily("revscript_script_cpu_seconds", "CPU time of the scripts' runs.")
        sums = zip(BUCKETS, accumulate(self._buckets), strict=True)
        cpu.add_metric((), [(_bound(bound), count) for bound, count in sums], self._cpu_seconds)
        yield from (received, runs, cpu)


def _acts(waiting: Standings, now: datetime) -> Iterator[Metric]:
    acts = {state: waiting.acts.get(state, 0) for state in ACT_STATES}
    yield _gauges("acts", "What is to be delivered, was, or never will be.", "state", acts)
    pending = 0.0 if waiting.oldest_pending is None else _age(waiting.oldest_pending, now)
    yield _gauge("act_oldest_pending_age_seconds", "Since the oldest pending act was wished; 0: none.", pending)


def _canaries(found: Mapping[str, Flight], now: datetime) -> Iterator[Metric]:
    trips = {name: (flight.seen_at - flight.sent_at).total_seconds() for name, flight in found.items()}
    yield _gauges("canary_round_trip_seconds", "How long the last canary mail took.", "account", trips)
    ages = {name: _age(flight.seen_at, now) for name, flight in found.items()}
    yield _gauges("canary_age_seconds", "Since a canary mail came back.", "account", ages)


def _files(size: upkeep.Sizes) -> Iterator[Metric]:
    yield _gauge("database_bytes", "Size of the database file.", size.database)
    yield _gauge("database_wal_bytes", "Size of its write-ahead log.", size.wal)


def _family(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"revscript_{name}", text, labels=labels)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"revscript_{name}", text, value=value)


def _gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = _family(name, text, label)
    for which, value in values.items():
        family.add_metric((which,), value)
    return family


def _age(since: datetime | None, now: datetime) -> float:
    """Seconds since then: never negative, for the clock may have been set back; infinite when it never was."""
    return inf if since is None else max(0.0, (now - since).total_seconds())


def _bound(bound: float) -> str:
    return "+Inf" if bound == inf else str(bound)
