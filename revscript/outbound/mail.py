"""The act `mail`: compose it and hand it to its account's SMTP server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from revscript.config import PasswordAuthentication, Smtp
from revscript.errors import DeliveryFailed
from revscript.outbound.compose import compose, message_id
from revscript.outbound.delivery import Delivery
from revscript.outbound.smtp import SmtpServer
from revscript.snapshot import Snapshot
from revscript.store.blobs import Blobs
from revscript.store.outbox import Act

DEADLINE_FACTOR = 4  # a delivery has several steps, each with the network's read time-out


class MailDelivery:
    """Delivers acts of the kind `mail`."""

    def __init__(self, blobs: Blobs, snapshot: Callable[[], Snapshot], instance_id: str, root: Path) -> None:
        self._blobs = blobs
        self._snapshot = snapshot
        self._instance_id = instance_id
        self._root = root

    def deliver(self, act: Act) -> Delivery:
        """One try; DeliveryFailed when nothing was handed over."""
        snapshot, payload = self._snapshot(), act.payload
        account = snapshot.accounts.get(payload["account"])
        if account is None or not account.enabled or not isinstance(account.sending, Smtp):
            raise DeliveryFailed(
                f"The account {payload['account']!r} is gone, switched off, or does not send any more.",
                hint="Mend the account file; the mail waits for it.",
            )
        login = account.sending_login()
        network = snapshot.settings.network
        server = SmtpServer(
            account.sending,
            login if isinstance(login, PasswordAuthentication) else None,
            self._root / account.ca_file if account.ca_file else None,
            network.read_timeout,
            network.connect_timeout + network.read_timeout * DEADLINE_FACTOR,
            ignore_certificate=account.ignore_server_certificate,
        )
        message = self._compose(act, account.label)
        delivery = Delivery.resumed(act.receipt)
        known = {*delivery.accepted, *delivery.refused}
        left = [address for address in [*payload["to"], *payload["cc"]] if address not in known]
        server.send(payload["from"], list(dict.fromkeys(left)), message, delivery)
        return delivery

    def _compose(self, act: Act, label: str) -> bytes:
        sender = act.payload["from"]
        try:
            return compose(
                act.payload,
                identifier=message_id(act.key, self._instance_id, sender),
                label=label,
                created_at=act.created_at,
                content=self._blobs.content,
            )
        except ValueError as error:
            raise DeliveryFailed(f"The mail cannot be written: {error}", permanent=True) from error
