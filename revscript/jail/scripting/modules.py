"""The modules that scripts may import: proxies of listed names only (sources: each module's own manual)."""

from __future__ import annotations

import base64
import collections
import datetime
import decimal
import hashlib
import html
import itertools
import json
import math
import re
import statistics
import string
import textwrap
import unicodedata
import urllib.parse
import zoneinfo
from types import ModuleType
from typing import Any

from revscript.jail.scripting.offers import Namespace

# Read while there is a file system. A zone that this machine does not know is left out.
_ZONES = """UTC Europe/Amsterdam Europe/Athens Europe/Berlin Europe/Brussels Europe/Bucharest Europe/Budapest
Europe/Copenhagen Europe/Dublin Europe/Helsinki Europe/Kyiv Europe/Lisbon Europe/Ljubljana Europe/London
Europe/Luxembourg Europe/Madrid Europe/Oslo Europe/Paris Europe/Prague Europe/Riga Europe/Rome Europe/Sofia
Europe/Stockholm Europe/Tallinn Europe/Vaduz Europe/Vienna Europe/Vilnius Europe/Warsaw Europe/Zagreb
Europe/Zurich"""


def _load_zones() -> dict[str, datetime.tzinfo]:
    zones: dict[str, datetime.tzinfo] = {"UTC": datetime.UTC}
    for key in _ZONES.split():
        try:
            zones[key] = zoneinfo.ZoneInfo(key)
        except zoneinfo.ZoneInfoNotFoundError:
            continue
    return zones


ZONES = _load_zones()


def zone(key: str) -> datetime.tzinfo:
    """The time zone of that name, of those loaded before the file system went."""
    try:
        return ZONES[key]
    except (KeyError, TypeError):
        raise ValueError(f"time zone {key!r} is not available to scripts") from None


def _dumps(value: Any, *, indent: int | None = None, sort_keys: bool = False, ensure_ascii: bool = False) -> str:
    # Without `default` and `cls`: hooks would be called from frames that are not the script's.
    return json.dumps(value, indent=indent, sort_keys=sort_keys, ensure_ascii=ensure_ascii)


def _loads(text: str | bytes) -> Any:
    return json.loads(text)


def _sha256hex(data: str | bytes) -> str:
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def _pick(module: ModuleType, names: str) -> dict[str, Any]:
    return {name: getattr(module, name) for name in names.split()}


def _flags() -> dict[str, int]:
    # Plain numbers: the members of an enum know their class, and that its module.
    names = "IGNORECASE I MULTILINE M DOTALL S ASCII A VERBOSE X"
    return {name: int(getattr(re, name)) for name in names.split()}


_CONTENTS: dict[str, dict[str, Any]] = {
    "re": _pick(re, "compile match fullmatch search findall finditer split sub subn escape") | _flags(),
    "math": _pick(
        math,
        "ceil floor trunc sqrt hypot fabs isclose isfinite isnan isinf log log2 log10 exp sin cos tan asin"
        " acos atan atan2 radians degrees pi e inf nan fsum gcd copysign modf",
    ),
    "datetime": _pick(datetime, "datetime date time timedelta timezone UTC"),
    "json": {"dumps": _dumps, "loads": _loads, "JSONDecodeError": json.JSONDecodeError},
    "decimal": _pick(
        decimal,
        "Decimal InvalidOperation ROUND_HALF_UP ROUND_HALF_EVEN ROUND_HALF_DOWN ROUND_DOWN ROUND_UP"
        " ROUND_FLOOR ROUND_CEILING",
    ),
    "collections": _pick(collections, "Counter defaultdict deque OrderedDict"),
    "textwrap": _pick(textwrap, "dedent indent shorten fill wrap"),
    "itertools": _pick(
        itertools,
        "chain count cycle islice takewhile dropwhile groupby product permutations combinations zip_longest"
        " accumulate pairwise repeat starmap",
    ),
    "html": _pick(html, "escape unescape"),
    "unicodedata": _pick(unicodedata, "normalize name category"),
    "zoneinfo": {"ZoneInfo": zone},
    "statistics": _pick(statistics, "mean median fmean"),
    "base64": _pick(base64, "b64encode b64decode"),
    "hashlib": {"sha256hex": _sha256hex},
    "string": _pick(string, "ascii_letters ascii_lowercase ascii_uppercase digits punctuation whitespace"),
    "urllib.parse": _pick(urllib.parse, "quote unquote urlencode parse_qsl"),
}

MODULES: dict[str, Namespace] = {name: Namespace(name, contents) for name, contents in _CONTENTS.items()}

# What `import urllib.parse` binds is the package above it.
PACKAGES: dict[str, Namespace] = {"urllib": Namespace("urllib", {"parse": MODULES["urllib.parse"]})}

AVAILABLE = ", ".join(sorted(MODULES))
