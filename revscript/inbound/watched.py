"""A watched mailbox: how its mails are treated, and what its troubles are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from revscript.config import Account, Imap, Keyword, Move, Push
from revscript.errors import RevscriptError
from revscript.inbound.source import Settlement
from revscript.model import Method, Problem, ServerMail
from revscript.store.intake import Finished


@dataclass(frozen=True, slots=True)
class Watched:
    """One folder of an account and how its mails are treated."""

    account: Account
    receiving: Imap
    folder: str
    mailbox_id: int
    methods: tuple[Method, ...]
    snapshot_sha256: str
    push: Push

    @property
    def name(self) -> str:
        """The account's name, with the folder where the account has several."""
        several = len(self.receiving.folders) > 1
        return f"{self.account.name}:{self.folder}" if several else self.account.name

    @property
    def where(self) -> str:
        """For problems."""
        several = len(self.receiving.folders) > 1
        return f"account {self.account.name}" + (f", folder {self.folder}" if several else "")

    @property
    def certificate(self) -> str:
        """The key of the problem with the server's certificate; all accounts on one server share it."""
        return f"certificate:{self.receiving.host}:{self.receiving.port}"

    @property
    def problem_keys(self) -> tuple[str, ...]:
        """The keys of all problems that this mailbox can have."""
        kinds = ("mailbox", "mails", "unclear", "settle", "renumbered", "unnumbered")
        return (*(f"{kind}:{self.name}" for kind in kinds), self.certificate)

    def settlement(self, finished: Finished) -> Settlement:
        """What the account's `after` means for a mail; one that we have only in part is never deleted or moved."""
        after = self.receiving.after
        if isinstance(after, Keyword):
            what = f"keyword:{after.keyword}"
        elif isinstance(after, Move):
            what = "seen" if finished.cut else f"move:{after.move}"
        else:
            what = "seen" if finished.cut and after == "delete" else after
        return Settlement(finished.mail_id, finished.listed, what)

    def trouble(self, error: RevscriptError) -> Problem:
        """The mailbox cannot be worked now."""
        way_out = error.hint or "It is tried again by itself; see `revscript status`."
        return Problem(f"mailbox:{self.name}", self.where, str(error), way_out)

    def unsettled(self, error: RevscriptError) -> Problem:
        """The server refuses what is to happen to processed mails."""
        return Problem(
            f"settle:{self.name}",
            self.where,
            str(error),
            f"{error.hint} New mails are received all the same; the processed ones stay where they are.".strip(),
            "warning",
        )

    def set_aside(self, aside: Sequence[tuple[ServerMail, str]]) -> Problem:
        """Mails that cannot be fetched."""
        first, why = aside[0]
        return Problem(
            f"mails:{self.name}",
            self.where,
            f"Mails that cannot be fetched: {len(aside)}. The first has UID {first.key}: {why}",
            "They stay on the server and are tried again; look at them with a mail program, and move or delete them.",
        )

    def not_described(self, count: int) -> Problem:
        """The server finds mails, but does not tell their size: they cannot be fetched safely."""
        return Problem(
            f"unclear:{self.name}",
            self.where,
            f"The server lists {count} mails, but does not say their size: they are not fetched.",
            "Look at the mailbox with a mail program; such mails are often damaged on the server.",
        )

    def renumbered(self) -> Problem:
        """UIDVALIDITY has changed."""
        return Problem(
            f"renumbered:{self.name}",
            self.where,
            "The server has renumbered the folder (new UIDVALIDITY); known mails are recognised by their content.",
            "Nothing to do; ask the provider whether the mailbox was restored.",
            "warning",
        )

    def unnumbered(self) -> Problem:
        """The server gives no UIDVALIDITY, or says that its UIDs do not last."""
        return Problem(
            f"unnumbered:{self.name}",
            self.where,
            "The server does not promise to keep the numbers of the mails (no UIDVALIDITY): after each new connection "
            "all unread mails are fetched again and compared by content.",
            'Nothing is lost or done twice; set "after" to "seen", "delete" or a folder, so that few mails lie there '
            "unread.",
            "warning",
        )

    def certificate_ends(self, expires: datetime, now: datetime) -> Problem:
        """The server's certificate must be renewed soon."""
        days = (expires - now).days
        when = f"in {days} days" if days > 0 else "within a day"
        return Problem(
            self.certificate,
            f"{self.receiving.host}:{self.receiving.port}",
            f"The server's certificate ends {when} ({expires:%Y-%m-%d %H:%M} UTC); no mail can be fetched then.",
            "Ask the server's operator to renew it.",
            "warning",
        )
