"""The demo's mail server: IMAP (pymap, mailboxes in memory) and SMTP (aiosmtpd) on the loopback, with STARTTLS.

Both run in one thread with one event loop; what other threads ask of the mailboxes is handed to that loop.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from argparse import Namespace
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import structlog
from proxyprotocol.reader import ProxyProtocolReader
from pymap.backend.dict import Config, Identity, Login
from pymap.imap import IMAPServer
from pymap.parsing.message import AppendMessage
from pymap.parsing.specials.flag import Seen
from pymap.user import UserMetadata
from pysasl.hashing import Cleartext

from revscript.demo.sink import Sent, Sink

HOST = "127.0.0.1"
START_TIMEOUT = 10.0  # s

log = structlog.get_logger()

Result = TypeVar("Result")


class MailServer:
    """Serves the mailboxes of `users` (address → user name), all with one password. Port 0: any free one."""

    def __init__(
        self, users: Mapping[str, str], password: str, context: ssl.SSLContext, imap_port: int = 0, smtp_port: int = 0
    ) -> None:
        self.imap_port = imap_port
        self.smtp_port = smtp_port
        self._users = users
        self._password = password
        self._config = _config(context)
        self._login = Login(self._config)
        self._sink = Sink(users, password, context, self._append)
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_note)
        self._listeners: list[asyncio.Server] = []
        self._thread = threading.Thread(target=self._serve, name="mailserver", daemon=True)

    def start(self) -> None:
        """Start serving; OSError when a wanted port is not free."""
        self._thread.start()
        self._ask(self._listen())

    def stop(self) -> None:
        """Close all connections and end the thread."""
        self._ask(self._hang_up())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def folders(self, user: str) -> dict[str, tuple[int, int]]:
        """What lies in a user's mailbox: folder → (all mails, unread ones)."""
        return self._ask(self._folders(user))

    @property
    def sent(self) -> list[Sent]:
        """The mails that left the command post, in their order."""
        return list(self._sink.sent)

    # ------------------------------------------------------------ the loop's thread

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _ask(self, question: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(question, self._loop).result(START_TIMEOUT)

    async def _listen(self) -> None:
        self._config.apply_context()
        for user in self._users.values():
            known = UserMetadata(self._config, user, password=self._password)
            await Identity(user, self._login, None, frozenset()).set(known)
        imap = ProxyProtocolReader(self._config.proxy_protocol).get_callback(IMAPServer(self._login, self._config))
        self._listeners.append(await asyncio.start_server(imap, HOST, self.imap_port))
        self._listeners.append(await self._loop.create_server(self._sink.server, HOST, self.smtp_port))
        self.imap_port, self.smtp_port = (one.sockets[0].getsockname()[1] for one in self._listeners)

    async def _hang_up(self) -> None:
        for listener in self._listeners:
            listener.close()
        left = [task for task in asyncio.all_tasks(self._loop) if task is not asyncio.current_task()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _append(self, user: str, raw: bytes) -> None:
        async with Identity(user, self._login, None, frozenset()).new_session() as session:
            inbox = await session.mailbox_set.get_mailbox("INBOX")
            await inbox.append(AppendMessage(raw, datetime.now(UTC)))

    async def _folders(self, user: str) -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        async with Identity(user, self._login, None, frozenset()).new_session() as session:
            for entry in (await session.mailbox_set.list_mailboxes()).list():
                folder = await session.mailbox_set.get_mailbox(entry.name)
                flags = [message.permanent_flags async for message in folder.messages()]
                found[entry.name] = (len(flags), sum(Seen not in one for one in flags))
        return found


class _Config(Config):
    @property
    def greeting(self) -> bytes:
        """Without this machine's full name, which might have to be looked up in the network."""
        return b"revscript demo"


def _config(context: ssl.SSLContext) -> Config:
    return _Config(
        Namespace(passlib_cfg=None, proxy_protocol=None),
        demo_data=False,
        demo_user="",
        demo_password="",
        host=HOST,
        port=0,
        ssl_context=context,
        hash_context=Cleartext(),  # a password of one run, in memory: nothing to protect by hashing
        reject_dnsbl=False,
    )


def _note(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A client that is simply gone is no trouble: revscript never says goodbye to a mail server."""
    log.debug("mail server", what=context.get("message", ""), error=repr(context.get("exception")))
