"""A connection that failed, in words that say where to look."""

from __future__ import annotations

import socket


def explain(error: OSError, host: str) -> tuple[str, str]:
    """What happened and what to do about it; `host` with its port where it is known."""
    if isinstance(error, socket.gaierror):
        name = host.partition(":")[0]
        why = error.strerror or str(error)
        return (
            f"The name {name} cannot be resolved: {why}.",
            f"Check the host's name, and this machine's name resolution: `getent hosts {name}`.",
        )
    if isinstance(error, ConnectionRefusedError):
        return (
            f"{host} refuses the connection.",
            "Check the port, and whether the server runs; a firewall may refuse, too.",
        )
    if isinstance(error, ConnectionError):
        return (
            f"{host} has broken off the connection.",
            "It is tried again by itself; if it stays so, ask the provider.",
        )
    return f"{host}: {error.strerror or error}", "Check host, port, name resolution and firewall."
