"""The merge rule that scripts and commit share."""

from __future__ import annotations

from typing import Any

import pytest

from revscript.jail.effects import MissionFields
from revscript.jail.merge import is_older, merge_mission

OLD = MissionFields(title="Brand", keyword="B 2", text="Rauch", lat=50.0, lon=9.0, units=("A", "B"))

CASES: list[tuple[dict[str, Any], bool, dict[str, Any], tuple[str, ...]]] = [
    ({}, False, {}, ()),
    ({"keyword": "B 3"}, False, {"keyword": "B 3"}, ("keyword",)),
    ({"keyword": "B 2"}, False, {}, ()),
    ({"keyword": ""}, False, {}, ()),
    ({"keyword": "  "}, False, {}, ()),
    ({"text": " Rauch\n"}, False, {}, ()),
    ({"text": "Rauch, Feuer"}, False, {"text": "Rauch, Feuer"}, ("text",)),
    ({"units": ("B", "C", "C")}, False, {"units": ("A", "B", "C")}, ("units",)),
    ({"units": ("B",)}, False, {}, ()),
    ({"lat": 51.0, "lon": 9.0}, False, {"lat": 51.0}, ("lat", "lon")),
    ({"lat": 51.0}, False, {}, ()),
    ({"lat": 50.0, "lon": 9.0}, False, {}, ()),
    ({"keyword": "B 1", "address": "Weg 1"}, True, {"address": "Weg 1"}, ("address",)),
    ({"units": ("C",), "lat": 1.0, "lon": 1.0, "text": "alt"}, True, {}, ()),
    ({"units": ("C",), "keyword": "B 3", "title": "T"}, False,
     {"title": "T", "keyword": "B 3", "units": ("A", "B", "C")}, ("title", "keyword", "units")),
]  # fmt: skip


@pytest.mark.parametrize(("new", "older", "taken", "changed"), CASES)
def test_merge(new: dict[str, Any], older: bool, taken: dict[str, Any], changed: tuple[str, ...]) -> None:
    merged, names = merge_mission(OLD, MissionFields(**new), older=older)
    expected: dict[str, Any] = {
        "title": "Brand",
        "keyword": "B 2",
        "text": "Rauch",
        "lat": 50.0,
        "lon": 9.0,
        "units": ("A", "B"),
    }
    assert merged == MissionFields(**(expected | taken))
    assert names == changed
    assert merge_mission(merged, MissionFields(**new), older=older) == (merged, ())


def test_older_fills_what_is_empty() -> None:
    new = MissionFields(title="T", keyword="K", text="X", address="A", lat=1, lon=2, units=("U",))
    assert merge_mission(MissionFields(), new, older=True)[0] == new


def test_units_stay_within_the_limit() -> None:
    many = MissionFields(units=tuple(str(n) for n in range(400)))
    more = MissionFields(units=tuple(str(n) for n in range(300, 700)))
    assert len(merge_mission(many, more, older=False)[0].units) == 500


def test_is_older() -> None:
    assert not is_older("2026-01-01T00:00:00+00:00", None)
    assert is_older("2026-01-01T00:00:00+01:00", "2026-01-01T00:00:00+00:00")
    assert not is_older("2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00+00:00")
