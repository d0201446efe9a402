"""A watched mailbox: how its mails are treated, and what its troubles are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from revscript.config import Account, Imap, Move
from revscript.errors import RevscriptError
from revscript.inbound.source import Settlement
from revscript.model import Method, Problem, ServerMail
from revscript.store.intake import Finished


@dataclass(frozen=True, slots=True)
class Watched:
    """An account's mailbox and how its mails are treated."""

    account: Account
    receiving: Imap
    mailbox_id: int
    methods: tuple[Method, ...]
    snapshot_sha256: str

    @property
    def where(self) -> str:
        """For problems and logs."""
        return f"account {self.account.name}"

    def settlement(self, finished: Finished) -> Settlement:
        """What the account's `after` means for a mail; one that we have only in part is never deleted or moved."""
        after = self.receiving.after
        what = f"move:{after.move}" if isinstance(after, Move) else str(after)
        return Settlement(finished.mail_id, finished.listed, "seen" if finished.cut and what != "none" else what)

    def trouble(self, error: RevscriptError) -> Problem:
        """The mailbox cannot be worked now."""
        way_out = error.hint or "It is tried again by itself; see `revscript status`."
        return Problem(f"mailbox:{self.account.name}", self.where, str(error), way_out)

    def unsettled(self, error: RevscriptError) -> Problem:
        """The server refuses what is to happen to processed mails."""
        return Problem(
            f"settle:{self.account.name}",
            self.where,
            str(error),
            f"{error.hint} New mails are received all the same; the processed ones stay where they are.".strip(),
            "warning",
        )

    def set_aside(self, aside: Sequence[tuple[ServerMail, str]]) -> Problem:
        """Mails that cannot be fetched."""
        first, why = aside[0]
        return Problem(
            f"mails:{self.account.name}",
            self.where,
            f"Mails that cannot be fetched: {len(aside)}. The first has UID {first.key}: {why}",
            "They stay on the server and are tried again; look at them with a mail program, and move or delete them.",
        )

    def not_described(self, count: int) -> Problem:
        """The server finds mails, but does not tell their size: they cannot be fetched safely."""
        return Problem(
            f"unclear:{self.account.name}",
            self.where,
            f"The server lists {count} mails, but does not say their size: they are not fetched.",
            "Look at the mailbox with a mail program; such mails are often damaged on the server.",
        )

    def renumbered(self) -> Problem:
        """UIDVALIDITY has changed."""
        return Problem(
            f"renumbered:{self.account.name}",
            self.where,
            "The server has renumbered the folder (new UIDVALIDITY); known mails are recognised by their content.",
            "Nothing to do; ask the provider whether the mailbox was restored.",
            "warning",
        )
