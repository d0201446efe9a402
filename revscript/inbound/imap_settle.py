"""Telling an IMAP server of processed mails: flags, keywords, deletions, moves. All of it can be repeated."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from imapclient import DELETED, SEEN

from revscript.inbound.imap_client import Client
from revscript.inbound.imap_errors import ServerSaysNo, means_trouble, text_of
from revscript.inbound.source import Refused


def tell(client: Client, what: str, uids: list[int], permanent: frozenset[str] | None) -> None:
    """Do `what` (seen, delete, move:FOLDER, keyword:WORD) with these mails; Refused when the server does not let us.

    `permanent` are the flags that the folder keeps, in lower case; None when the server does not say.
    """
    word, _, name = what.partition(":")
    if word == "keyword" and permanent is not None and not permanent & {name.lower(), "\\*"}:
        raise Refused(
            f"The server does not keep the keyword {name!r} in this folder (RFC 9051 §7.1, PERMANENTFLAGS).",
            hint='Choose "seen" or {"move": "FOLDER"} for "after" in the account file, or a keyword that the server '
            "knows.",
        )
    with _refusal_is_ours(client, what):
        if word == "seen":
            client.add_flags(uids, [SEEN], silent=True)
        elif word == "keyword":
            client.add_flags(uids, [name.encode()], silent=True)
        elif word == "delete":
            _delete(client, uids)
        elif word == "move":
            _move(client, uids, name)


def _delete(client: Client, uids: list[int]) -> None:
    client.add_flags(uids, [DELETED], silent=True)
    if client.has_capability("UIDPLUS"):
        client.uid_expunge(uids)
    elif set(client.uids("DELETED")) <= set(uids):  # EXPUNGE would take other people's along
        client.expunge()


def _move(client: Client, uids: list[int], folder: str) -> None:
    left = client.uids(f"UNDELETED UID {','.join(map(str, uids))}")
    if not left:  # all moved by an earlier try
        return
    if not client.folder_exists(folder):
        client.create_folder(folder)
        client.subscribe_folder(folder)  # mail programs show only such
    if client.has_capability("MOVE"):
        client.move(left, folder)
    else:
        client.copy(left, folder)
        _delete(client, left)


@contextmanager
def _refusal_is_ours(client: Client, what: str) -> Generator[None]:
    """A NO to a settlement, with the way out."""
    try:
        yield
    except ServerSaysNo as error:
        if means_trouble(text := text_of(error)):
            raise
        hint = "Check the account's rights in this mailbox."
        if what.startswith("move:"):
            hint = f'Check "after" in the account file. There are the folders: {client.folder_names()}'
        raise Refused(f"The server does not do {what!r} with processed mails: {text}", hint=hint) from error
