"""Communication centre: the mail appears in the shared inbox."""

from __future__ import annotations

from revscript.jail.effects import ShowInCentre
from revscript.jail.reading.model import Reading
from revscript.methods.view import View
from revscript.model import Outcome


def run(reading: Reading, view: View) -> Outcome:
    """One entry."""
    return Outcome(by="method:centre", effects=(ShowInCentre(),))
