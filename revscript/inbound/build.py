"""The watchers of an account, one a folder."""

from __future__ import annotations

from pathlib import Path

from revscript.config import Account, Imap, PasswordAuthentication
from revscript.inbound.imap import ImapSource
from revscript.inbound.tools import Tools
from revscript.inbound.watch import Watcher
from revscript.inbound.watched import Watched
from revscript.model import METHODS
from revscript.snapshot import Snapshot

__all__ = ["Tools", "watchers_for"]

MB = 1_000_000


def watchers_for(account: Account, snapshot: Snapshot, root: Path, tools: Tools) -> list[Watcher]:
    """Watchers for all folders of the account, not started; none where it receives nothing.

    `root` is the instance's folder, which `ca_file` counts from. StoreError when a mailbox cannot be looked up.
    """
    receiving, login = account.receiving, account.authentication
    if not isinstance(receiving, Imap) or not isinstance(login, PasswordAuthentication):
        return []
    network, push = snapshot.settings.network, snapshot.settings.push
    on = set(account.methods.names())
    watchers: list[Watcher] = []
    # First, because a watcher holds a descriptor; one that is made is started, too.
    ids = [tools.intake.mailbox_id(*mailbox) for mailbox in account.mailboxes()]
    for mailbox, mailbox_id in zip(account.mailboxes(), ids, strict=True):
        tools.intake.adopt(mailbox_id, account.name)
        source = ImapSource(
            settings=receiving,
            folder=mailbox.folder,
            username=login.username,
            password=login.password.reveal(),
            ca_file=root / account.ca_file if account.ca_file else None,
            connect_timeout=network.connect_timeout,
            read_timeout=network.read_timeout,
            hard_cap=snapshot.settings.hard_cap * MB,
            renew=push.renew,
            ignore_certificate=account.ignore_server_certificate,
        )
        watched = Watched(
            account=account,
            receiving=receiving,
            folder=mailbox.folder,
            mailbox_id=mailbox_id,
            methods=tuple(method for method in METHODS if method in on),
            snapshot_sha256=snapshot.sha256,
            push=push,
        )
        watchers.append(Watcher(watched, source, tools, snapshot.settings.backoff))
    return watchers
