"""What the host knows of its clock, kept across restarts: a clock that was doubted is doubted after a restart as well.

As long as the machine is not booted anew, its steady clock goes on while we are down, and shows whether somebody has
set the wall clock meanwhile. After a boot only this is certain: it is not earlier than it was.
"""

from __future__ import annotations

from pathlib import Path

import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from revscript.errors import StoreError
from revscript.store.database import Database
from revscript.store.notes import read_note, write_note

NAME = "clock"  # of the note
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # changes with each boot (random(4))

log = structlog.get_logger()


class Jump(BaseModel):
    """Somebody moved the clock by `seconds`; `before` and `after` are its times at that moment."""

    model_config = ConfigDict(frozen=True)

    seconds: float
    before: AwareDatetime
    after: AwareDatetime


class Noted(BaseModel):
    """The clock at one moment. `wall` and `steady` belong together; for the others see `HostClock`."""

    model_config = ConfigDict(frozen=True)

    boot: str = ""
    wall: AwareDatetime
    steady: float
    believed: float = 0.0
    confirmed: bool = False
    jumps: tuple[Jump, ...] = ()

    def says_the_same(self, other: Noted) -> bool:
        """Whether they differ in nothing but their moment."""
        return self == other.model_copy(update={"wall": self.wall, "steady": self.steady})


class ClockMemory:
    """The note in the store. While the store cannot be used, nothing is remembered."""

    def __init__(self, database: Database, boot: str | None = None) -> None:
        self._database = database
        self._boot = _boot_id() if boot is None else boot

    def last(self) -> Noted | None:
        """What was noted last."""
        try:
            value = read_note(self._database, NAME)
            return None if value is None else Noted.model_validate_json(value)
        except (StoreError, ValidationError) as error:
            log.warning("what was known of the clock is lost", why=str(error))
            return None

    def of_this_boot(self, noted: Noted) -> bool:
        """Whether the machine was not booted since."""
        return self._boot != "" and noted.boot == self._boot

    def note(self, noted: Noted) -> None:
        """Remember this."""
        try:
            write_note(self._database, NAME, noted.model_copy(update={"boot": self._boot}).model_dump_json())
        except StoreError as error:
            log.debug("the clock is not noted", why=str(error))


def _boot_id() -> str:
    """The present boot's; empty where the system does not tell it."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""
