"""What fails in the field: a clear Problem, no crash, no loss, recovery without a restart. One test, many faults."""

from __future__ import annotations

import os

import pytest

from tests.system.faults import FAULTS, Fault, Place


@pytest.mark.timeout(240)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
def test_fault(fault: Fault) -> None:
    if os.geteuid() != 0 and (fault.hosts or fault.small_disk or fault.unprivileged):
        pytest.skip("needs root: mounts, or a second user")
    place = Place(fault)
    with place.running():
        place.deliver(1)
        place.wait_done(1)
        place.wait(lambda: place.ready()[0] == 200, "ready")

        fault.cause(place)
        there = fault.folder == "INBOX"  # a folder that is missing takes no mail
        if there and fault.name != "server restart":
            place.deliver(2)
        place.wait(lambda: _told(place), "the problem")
        if fault.stands:
            place.wait(lambda: _stands(place), "/readyz shows the problem")
        if fault.receives:
            place.wait_done(2)

        fault.heal(place)
        if not there or fault.name == "server restart":
            place.deliver(2)
        place.deliver(3)
        place.wait_done(3)
        place.wait(place.settled_inbox, "the server was told")
        place.wait(lambda: place.ready()[0] == 200, "ready again")
        solved = lambda: fault.key in [line["key"] for line in place.logged("solved")]  # noqa: E731
        place.wait(solved, "the problem is said to be over")
        assert [mail[1:] for mail in place.done()] == [(1, 1)] * 3  # each effect once
        assert len({mail[0] for mail in place.done()}) == 3
        assert place.host.poll() is None
        assert "Traceback" not in place.log


def _told(place: Place) -> bool:
    fault = place.fault
    return any(line["key"] == fault.key and fault.says in line["what"] for line in place.logged("problem"))


def _stands(place: Place) -> bool:
    code, body = place.ready()
    return code == 503 and place.fault.key in body
