"""An IMAP server that says what the test wants: for what no real server can be brought to do.

    with ScriptedImap({"SEARCH": b"* SEARCH 1 1\r\n"}) as server: ...

An answer may hold its own tagged line (`%t` is the tag); without one, OK follows. `said` holds the client's lines.
IDLE is answered by its go-ahead, and `push` says something unasked to whoever is connected.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable, Mapping

from tests.servers import HOST

Answer = bytes | Callable[[str], bytes]

_DEFAULTS: dict[str, Answer] = {
    "CAPABILITY": b"* CAPABILITY IMAP4rev1 UIDPLUS MOVE IDLE\r\n",
    "IDLE": b"+ idling\r\n",
    "SELECT": b"* 1 EXISTS\r\n* OK [UIDVALIDITY 7] ok\r\n* OK [UIDNEXT 10] ok\r\n",
    "SEARCH": b"* SEARCH 1\r\n",
    "LIST": b'* LIST () "/" INBOX\r\n* LIST () "/" Archiv\r\n',
}


def listing(size: int = 5, uid: int = 1) -> bytes:
    """A FETCH answer with size and date."""
    return b'* 1 FETCH (UID %d RFC822.SIZE %d INTERNALDATE "24-Nov-2026 10:00:00 +0100")\r\n' % (uid, size)


class ScriptedImap:
    """Listens on 127.0.0.1 at `port`."""

    host = HOST

    def __init__(self, says: Mapping[str, Answer] | None = None, greeting: bytes = b"* OK hello\r\n") -> None:
        self.says: dict[str, Answer] = {**_DEFAULTS, **(says or {})}
        self.greeting = greeting
        self.said: list[str] = []
        self._clients: list[socketserver.StreamRequestHandler] = []
        self._idle_tag = ""
        script = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    script._clients.append(self)
                    self.wfile.write(script.greeting)
                    while line := self.rfile.readline():
                        script.answer(line.decode("utf-8", "replace").rstrip("\r\n"), self)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False
            allow_reuse_address = True

        self._server = Server((HOST, 0), Handler)
        self.port: int = self._server.server_address[1]

    def answer(self, line: str, client: socketserver.StreamRequestHandler) -> None:
        """One command."""
        self.said.append(line)
        tag, _, rest = line.partition(" ")
        if tag == "DONE":
            tag, rest = self._idle_tag, "DONE"
        word = rest.removeprefix("UID ").partition(" ")[0].upper()
        said = self.says.get(word, b"")
        if word == "AUTHENTICATE" and not said:
            client.wfile.write(b"+ \r\n")
            self.said.append(client.rfile.readline().decode().strip())
        answer = (said(rest) if callable(said) else said).replace(b"%t", tag.encode())
        if word == "IDLE":
            self._idle_tag = tag
        elif tag.encode() + b" " not in answer:
            answer += tag.encode() + b" OK done\r\n"
        client.wfile.write(answer)
        if b"* BYE" in answer:
            client.connection.shutdown(socket.SHUT_RDWR)

    def push(self, said: bytes) -> None:
        """Say something to the client that came last."""
        self._clients[-1].wfile.write(said)

    def count(self, word: str) -> int:
        """How many of the client's lines hold a word."""
        return sum(word in line for line in self.said)

    def __enter__(self) -> ScriptedImap:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
