"""The ways of alerts: a mail by another account, and a webhook.

SECURITY: mail goes to the people that the settings name, and says all. A webhook is somebody else's machine more often
than not: what comes from mails is kept from it.
"""

from __future__ import annotations

from collections.abc import Sequence

from revscript.config import Alerts
from revscript.errors import DeliveryFailed
from revscript.health.heartbeat import DateListener, hear
from revscript.health.notices import Notice
from revscript.outbound.alert import DirectMail
from revscript.outbound.delivery import Delivery
from revscript.outbound.webhook import Web
from revscript.snapshot import Snapshot


class ByMail:
    """Mail by the account that the settings name, past the outbox."""

    name = "mail"

    def __init__(self, mail: DirectMail) -> None:
        self._mail = mail

    def target(self, alerts: Alerts) -> object | None:
        """The account and the addresses."""
        return alerts.mail

    def tell(self, notice: Notice, snapshot: Snapshot, only: Sequence[str] = ()) -> Delivery:
        """Send it, to all or to some."""
        wanted = snapshot.settings.alerts.mail
        if wanted is None:
            return Delivery()
        account = snapshot.accounts.get(wanted.account)
        if account is None:
            raise DeliveryFailed(
                f"There is no usable account {wanted.account!r}.", hint="Mend its file, or name another in alerts.mail."
            )
        return self._mail.send(account, only or wanted.to, notice.subject, notice.text, notice.key)

    def stop(self) -> None:
        """A mail under way is left to its deadline."""


class ByWebhook:
    """A POST to the URL that the settings name."""

    name = "webhook"

    def __init__(self, web: Web, dates: DateListener) -> None:
        self._web = web
        self._dates = dates

    def target(self, alerts: Alerts) -> object | None:
        """The URL."""
        return alerts.webhook

    def tell(self, notice: Notice, snapshot: Snapshot, only: Sequence[str] = ()) -> Delivery:  # noqa: ARG002
        """Post it, without what comes from mails."""
        url = snapshot.settings.alerts.webhook
        if url is not None:
            hear(self._dates, self._web.post(str(url), notice.public().body(), notice.key))
        return Delivery()

    def stop(self) -> None:
        """Cut a call under way."""
        self._web.stop()
