"""A TCP proxy that breaks connections in the ways in which networks do.

    with FaultProxy(dovecot.host, dovecot.imap) as proxy:
        proxy.limit("down", 50_000, how="rst")           # cut in the middle of a FETCH
        proxy.rewrite("down", rb"STARTTLS", rb"XSTARTTL")
        proxy.heal()

"up" is from the client to the server, "down" the way back. Faults work at once, also on open connections.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from tests.servers import HOST

Direction = Literal["up", "down"]
How = Literal["rst", "fin", "half", "hang"]
_CHUNK = 16_384
_TICK = 0.01


@dataclass
class _Limit:
    """`bytes` may pass on each connection from now on, then `how` happens."""

    bytes: int
    how: How
    passed: Counter[_Link] = field(default_factory=lambda: Counter[_Link]())


@dataclass
class _Faults:
    """What is wrong with one direction."""

    latency: float = 0.0
    rate: float = 0.0
    limit: _Limit | None = None
    blackhole: bool = False
    rewrite: tuple[re.Pattern[bytes], bytes] | None = None


@dataclass(eq=False)
class _Link:
    """One client's connection and ours to the server."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    lost: bool = False
    """Bytes went into a black hole: it can never work again."""

    def cut(self, *, reset: bool) -> None:
        for writer in (self.client, self.server):
            if reset:
                _reset(writer)
            else:
                writer.close()


class FaultProxy:
    """Listens on 127.0.0.1 at `port` in a thread of its own; `seen` counts the bytes that passed.

    `source` is the address from which it connects: servers trust 127.0.0.1 more than ("127.0.0.2", 0).
    """

    host = HOST

    def __init__(self, host: str, port: int, *, source: tuple[str, int] | None = None) -> None:
        self._target = (host, port)
        self._source = source
        self._refuse = False
        self._faults: dict[Direction, _Faults] = {"up": _Faults(), "down": _Faults()}
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self.seen: dict[Direction, int] = {"up": 0, "down": 0}
        self.accepted = 0
        self.port = 0

    def start(self) -> FaultProxy:
        """Start listening; returns itself."""
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._accept, self.host, 0), self._loop
        ).result(10)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def stop(self) -> None:
        """Reset every connection and stop listening."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def __enter__(self) -> FaultProxy:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def open_connections(self) -> int:
        """How many connections go through at the moment."""
        return len(self._links)

    def latency(self, direction: Direction, seconds: float) -> None:
        """Delay every piece."""
        self._faults[direction].latency = seconds

    def rate(self, direction: Direction, bytes_per_second: float) -> None:
        """Let bytes through no faster than this."""
        self._faults[direction].rate = bytes_per_second

    def limit(self, direction: Direction, count: int, *, how: How) -> None:
        """After `count` more bytes of a connection: reset or close it, half-close it, or fall silent."""
        self._faults[direction].limit = _Limit(count, how)

    def blackhole(self, *directions: Direction) -> None:
        """Swallow bytes (both directions by default) and say nothing; such a connection stays dead."""
        for direction in directions or ("up", "down"):
            self._faults[direction].blackhole = True

    def refuse(self) -> None:
        """Reset new connections."""
        self._refuse = True

    def rewrite(self, direction: Direction, pattern: bytes, replacement: bytes) -> None:
        """Replace in every piece, by regular expression; of use in clear text and for short lines only."""
        self._faults[direction].rewrite = (re.compile(pattern), replacement)

    def reset_all(self) -> None:
        """Reset every open connection now."""
        asyncio.run_coroutine_threadsafe(self._reset_all(), self._loop).result(10)

    def heal(self) -> None:
        """No faults any more; what was held back goes on."""
        self._refuse = False
        self._faults = {"up": _Faults(), "down": _Faults()}

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self._refuse:
            _reset(writer)
            return
        try:
            from_server, to_server = await asyncio.open_connection(*self._target, local_addr=self._source)
        except OSError:
            _reset(writer)
            return
        link = _Link(writer, to_server)
        self._links.add(link)
        try:
            up = self._pump("up", reader, to_server, link)
            await asyncio.gather(up, self._pump("down", from_server, writer, link))
        except OSError:  # one side is gone by a reset: so is the other
            link.cut(reset=True)
        finally:
            link.cut(reset=False)
            self._links.discard(link)

    async def _pump(
        self, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: _Link
    ) -> None:
        while data := await reader.read(_CHUNK):
            faults = self._faults[direction]
            await asyncio.sleep(faults.latency)
            if faults.rewrite:
                data = faults.rewrite[0].sub(faults.rewrite[1], data)
            link.lost = link.lost or faults.blackhole
            if link.lost:
                continue
            if faults.limit and len(data) > (left := faults.limit.bytes - faults.limit.passed[link]):
                await self._send(direction, data[:left], writer, link)
                if not await self._fail(direction, faults.limit.how, writer, link):
                    return
                data = data[left:]
            await self._send(direction, data, writer, link)
        if writer.can_write_eof() and not link.lost:
            writer.write_eof()

    async def _send(self, direction: Direction, data: bytes, writer: asyncio.StreamWriter, link: _Link) -> None:
        faults = self._faults[direction]
        step = max(1, min(_CHUNK, int(faults.rate * _TICK))) if faults.rate else _CHUNK
        for start in range(0, len(data), step):
            piece = data[start : start + step]
            writer.write(piece)
            await writer.drain()
            self.seen[direction] += len(piece)
            if faults.rate:
                await asyncio.sleep(len(piece) / faults.rate)
        if faults.limit:
            faults.limit.passed[link] += len(data)

    async def _fail(self, direction: Direction, how: How, writer: asyncio.StreamWriter, link: _Link) -> bool:
        """Do it to the connection; returns whether the bytes behind may follow (after `heal`)."""
        if how == "hang":
            await self._until_healed(lambda: self._faults[direction].limit is None)
            return True
        if how == "half":
            writer.write_eof()
            return False
        await asyncio.sleep(_TICK)  # a reset would overtake the bytes that are on their way
        link.cut(reset=how == "rst")
        return False

    async def _until_healed(self, healed: Callable[[], bool]) -> None:
        while not healed():
            await asyncio.sleep(_TICK)

    async def _reset_all(self) -> None:
        for link in list(self._links):
            link.cut(reset=True)

    async def _close(self) -> None:
        self._server.close()
        await self._reset_all()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(_TICK)  # the transports close their sockets in a later turn of the loop


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    raw: socket.socket | None = writer.get_extra_info("socket")
    if raw is not None and raw.fileno() >= 0:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
