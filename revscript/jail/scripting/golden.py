"""An ordinary script that uses everything once, and a mail for it: run before the file system goes.

Python loads much only when it is first needed (`strptime`, codecs, `Counter.most_common` …). Later there is
nothing to load it from: what is missing here would surprise a script's author.
"""

from __future__ import annotations

import bisect
import codecs
import contextlib
import heapq
import importlib
import keyword
import linecache
import numbers
import reprlib
import stringprep
import time
import tokenize
import traceback
from typing import Any

from revscript.jail.effects import Effect
from revscript.jail.questions import FindForm, Question, RunningMissions
from revscript.jail.reading.model import Attachment, MailAddress, Reading
from revscript.jail.wire import RunContext

# Named so that they stay: loaded for others, never called from here.
LOADED = (bisect, heapq, keyword, linecache, numbers, reprlib, stringprep, time, tokenize, traceback)

_CODECS = """ascii latin_1 cp1252 cp850 cp437 iso8859_15 iso8859_2 utf_7 utf_8 utf_8_sig utf_16 utf_16_le
utf_16_be utf_32 idna punycode unicode_escape raw_unicode_escape mac_roman"""


def load_codecs() -> None:
    """Load the codecs that texts come in, and what huge integers need from Python 3.12 on."""
    for name in _CODECS.split():
        codecs.lookup(name)
    with contextlib.suppress(ImportError):
        importlib.import_module("_pylong")


class Deaf:
    """A session that keeps nothing and knows one mission."""

    def __init__(self) -> None:
        self._sent = 0

    def emit(self, effect: Effect) -> int:  # noqa: ARG002
        """Count."""
        self._sent += 1
        return self._sent - 1

    def ask(self, question: Question) -> Any:
        """One running mission, one form."""
        if type(question) is RunningMissions:
            return [_MISSION]
        if type(question) is FindForm:
            return _FORM
        return _MISSION if getattr(question, "number", "") == "T 1" else None

    def table(self, file: str) -> str:
        """A small one."""
        return TABLES[file]

    def log(self, text: str) -> None:
        """Nobody listens."""


_MISSION: dict[str, Any] = {
    "ref": "mission:1",
    "number": "T 1",
    "kind": "real",
    "state": "running",
    "lead": False,
    "as_of": "2026-01-02T03:00:00+01:00",
    "fields": {"title": "Brand", "keyword": "B 2", "units": ["Florian Beispiel 1"]},
}
_FORM: dict[str, Any] = {
    "ref": "form:1",
    "number": 1,
    "state": "to_review",
    "priority": "routine",
    "subject": "Brand",
    "key": None,
    "mission": "mission:1",
    "touched": False,
}

CONTEXT = RunContext(
    mail_id=1,
    account="leitstelle",
    received="2026-01-02T03:04:05+01:00",
    now="2026-01-02T03:04:06+01:00",
    max_age=30,
    clock_trusted=True,
    time_zone="Europe/Berlin",
    channels=("pager",),
)

READING = Reading(
    subject="B 3 Beispielweg 7",
    sender=MailAddress(address="alarm@leitstelle.example", name="Leitstelle"),
    from_=(MailAddress(address="alarm@leitstelle.example", name="Leitstelle"),),
    to=(MailAddress(address="einsatz@fuest.example"),),
    date="2026-01-02T03:04:00+01:00",
    message_id="1@leitstelle.example",
    headers=(("Subject", "B 3 Beispielweg 7"),),
    text="Einsatznummer: T 1\nStichwort: B 3\nÜbungsplatz 1",
    attachments=(
        Attachment(
            name="fax.pdf",
            original_name="fax.pdf",
            type="application/pdf",
            declared_type="application/octet-stream",
            size=3,
            sha256="0" * 64,
            inline=False,
        ),
    ),
)

TABLES = {"units.csv": 'Funk;Name\n"1/44";"Florian;1"\n', "levels.json": '{"B 3": {"level": "alarm", "n": 1.5}}'}

BAD_TABLES = {"a.csv": 'a;b\n"x', "b.json": "{", "c.json": "[1]"}

LIBRARY = """
import re
from datetime import timedelta

LIMIT = timedelta(minutes=5)


def first(text):
    return re.search(r"\\w+", text)[0]
"""

REFUSED = "import os\nclass A: pass\n"

FAILING = "def onEMail(mail):\n    return mail.sujbect\n"

SCRIPT = r"""
from helpers import LIMIT, first
import re, math, json, textwrap, html, unicodedata, statistics, base64, hashlib, string, urllib.parse
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from itertools import chain, groupby, islice
from zoneinfo import ZoneInfo

LEVELS = {"B 3": "alarm"}


def dates(mail):
    berlin = ZoneInfo("Europe/Berlin")
    moment = datetime.strptime("04.06.2026 08:30", "%d.%m.%Y %H:%M").replace(tzinfo=berlin)
    other = datetime.fromisoformat("2026-06-04T08:30:00+02:00").astimezone(UTC)
    assert moment == other and moment.utcoffset() == timedelta(hours=2)
    words = f"{moment:%d.%m.%Y %H:%M %A %j}" + moment.strftime("%B %Z")
    words += f"{date(2026, 1, 1).isocalendar().week} {time(8, 30)} {timezone(timedelta(hours=1))}"
    return words + f"{mail.received:%H:%M} {mail.age}"


def numbers():
    total = Decimal("12.345").quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
    try:
        Decimal("x")
    except InvalidOperation as error:
        log(str(error), error.args)
    big = int(str(3**2000)[:500]) + math.floor(2.5)
    big += round(statistics.mean([1, 2, 3]) + statistics.median([1]))
    return f"{total:,.2f} {statistics.fmean([1, 2]):.1f} {big % 97} {hash_of('x')}"


def hash_of(text):
    packed = base64.b64encode(text.encode()).decode()
    return hashlib.sha256hex(text) + packed + urllib.parse.quote(text + "ä ")


def words(mail):
    found = re.findall(r"(?i)stichwort\s*:\s*(.+)", mail.text)
    pattern = re.compile(r"(?P<a>\w+) (?P<b>\w+)", re.IGNORECASE | re.MULTILINE)
    swapped = pattern.sub(r"\g<b> \1", "a b") + re.sub("a", lambda m: m.group(0).upper(), "abc")
    swapped += pattern.match("c d").expand(r"\2") + "".join(re.split(r"\s", "a b")) + re.escape("a.b")
    text = textwrap.shorten(textwrap.dedent("  x y"), 20) + textwrap.fill("a b c", 3)
    text += textwrap.indent("a", "> ") + html.unescape("&auml;") + html.escape("<")
    text += unicodedata.normalize("NFD", "ä") + "\N{BULLET}"
    for codec in ("utf-8", "latin-1", "cp1252", "idna", "utf-16", "ascii"):
        text += "abc".encode(codec).decode(codec)
    text += "ä€".encode("ascii", "xmlcharrefreplace").decode() + "ä".encode("ascii", "namereplace").decode()
    text += "a".translate(str.maketrans("a", "b")) + "%s %r %d" % (1, "a", 2)
    return found + [swapped, text, string.digits]


def collections():
    counts = Counter("aab")
    counts["c"] += 1
    rows = defaultdict(list)
    rows["x"] += [1]
    rows["x"][0:1] += [2]
    (first, second), *rest = [(1, 2), 3]
    queue = deque([1, 2], maxlen=2)
    ordered = OrderedDict(a=1)
    groups = {key: list(items) for key, items in groupby(sorted(["b", "a", "a"]))}
    packed = json.loads(json.dumps({"a": [1, 2.5, None, "ä"]}, indent=1, sort_keys=True))
    try:
        json.loads("{")
    except ValueError as error:
        packed["error"] = f"{error} {error.lineno}"
    match packed:
        case {"a": [one, *others], **more} if one == 1:
            rest += others + list(more)
        case _:
            assert False
    lists = list(islice(chain([1], (n for n in range(9))), 3))
    lists += sorted({1, 2}, reverse=True) + [*map(int, "1")]
    return counts.most_common(1), rows, queue, ordered, groups, lists, rest, first + second, max(1, *lists)


def looked_up(mail):
    units, levels = tables("units"), tables("levels")
    rows = [*units.rows, *units.find(Funk="1/44"), dict(levels.get("B 3"))]
    try:
        units.get("1/44", "Nmae")
    except KeyError as error:
        rows.append(str(error))
    return rows, units.get("1/44", "Name"), levels.get("B 3", "level"), first(mail.text), LIMIT


def steps():
    state = 0

    def more(n: int = 1) -> int:
        nonlocal state
        state += n
        return state

    more(**{"n": 2})
    yield from (more() for _ in range(2))


def alarm(mail):
    keyword = mail.search(r"B \d").group()
    mission, change = missions.upsert(
        "T 1", keyword=keyword, units=["Florian Beispiel 2"], position=(50.1, 8.9)
    )
    number = f"T {len(missions.running()) + 1}"
    other, second = missions.upsert(number, title="Zweite", text="a\nb", kind="exercise")
    mission.folder.add(mail, tags="Fax")
    missions.open("Hochwasser").folder.add(mail.attachments)
    form = documents.incoming(
        mail, mission=mission, subject="x" * 300, priority="sofort", distribution=["S3"]
    )
    log(form.number, form.state, form.priority, form.subject, form.mission, documents.find(key="k"))
    if change or second.created:
        level = LEVELS.get(keyword, "info")
        notify.all(f"{keyword}: {change}", level=level, key=mail.fingerprint(keyword))
    return mission


def onEMail(mail):
    log(dates(mail), numbers(), words(mail), collections(), list(steps()), repr(mail), sep=", ")
    log(looked_up(mail))
    print(mail.sender, mail.sender.domain, mail.headers["Subject"], mail.headers.all("x"), now())
    if mail.is_test() or mail.is_bounce or mail.late or not mail.is_from("@leitstelle.example"):
        return mail.ignore("nicht für uns")
    mission = alarm(mail)
    notify.role("S3", str(mission.fields["units"]), about=mission)
    notify.person("mue", "x")
    notify.channel("pager", "x")
    files = [*mail.attachments, ("a.csv", "1;2")]
    send_mail(mail.sender, "Antwort", "x", attachments=files, in_reply_to=mail)
    mail.label("Alarm")
    try:
        getattr(mail, "nichts")
    except AttributeError as error:
        log(error, hasattr(mail, "id"))
    finally:
        del files
"""
