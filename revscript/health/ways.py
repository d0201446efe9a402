"""The ways of alerts: a mail by another account, and a webhook."""

from __future__ import annotations

from revscript.config import Alerts
from revscript.errors import DeliveryFailed
from revscript.health.heartbeat import DateListener, hear
from revscript.health.notices import Notice
from revscript.outbound.alert import DirectMail, refusals
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

    def tell(self, notice: Notice, snapshot: Snapshot) -> str:
        """Send it."""
        wanted = snapshot.settings.alerts.mail
        if wanted is None:
            return ""
        account = snapshot.accounts.get(wanted.account)
        if account is None:
            raise DeliveryFailed(
                f"There is no usable account {wanted.account!r}.", hint="Mend its file, or name another in alerts.mail."
            )
        return refusals(self._mail.send(account, wanted.to, notice.subject, notice.text, notice.key))

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

    def tell(self, notice: Notice, snapshot: Snapshot) -> str:
        """Post it."""
        url = snapshot.settings.alerts.webhook
        if url is not None:
            hear(self._dates, self._web.post(str(url), notice.body(), notice.key))
        return ""

    def stop(self) -> None:
        """Cut a call under way."""
        self._web.stop()
