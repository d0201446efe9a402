"""What a try to deliver brought, recipient by recipient."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Delivery:
    """Recipients by what the other side said of them; `text` of the answer. Empty `later`: nothing is left to do."""

    accepted: dict[str, str] = field(default_factory=dict[str, str])
    refused: dict[str, str] = field(default_factory=dict[str, str])  # for good
    later: dict[str, str] = field(default_factory=dict[str, str])  # for now

    def receipt(self) -> dict[str, Any]:
        """For the outbox: what need not be tried again."""
        return {"accepted": self.accepted, "refused": self.refused}

    @classmethod
    def resumed(cls, receipt: dict[str, Any] | None) -> Delivery:
        """What earlier tries have reached already."""
        known = receipt or {}
        return cls(accepted=dict(known.get("accepted", {})), refused=dict(known.get("refused", {})))
