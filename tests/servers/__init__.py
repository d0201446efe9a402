"""Real servers, sinks and faults for tests and benchmarks; all on loopback, none touches the system's own."""

from __future__ import annotations

import random
import socket

HOST = "127.0.0.1"

# Below Linux' ephemeral range (from 32768): a port that waits for its server to be restarted can then not
# be taken by somebody's outgoing connection. An own generator, because hypothesis seeds the global one.
_RANGE = range(20_000, 32_000)
_random = random.SystemRandom()


def free_ports(count: int) -> list[int]:
    """Different ports of `HOST` on which nobody listens at the moment."""
    found: list[int] = []
    while len(found) < count:
        port = _random.choice(_RANGE)
        if port not in found and _is_free(port):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((HOST, port))
        except OSError:
            return False
    return True
