"""HTTP to the outside, by requests: a webhook's POST, a heartbeat's GET.

SECURITY: certificates and host names are always checked; what the environment says of proxies, logins and authorities
counts for nothing. No redirect is followed: it could lead what we say to another host. The answer is read up to
`MOST_ANSWER` bytes and not looked at, and a server that trickles is cut off at the deadline. A URL is often a key to
its service: no message shows more of it than the host, nor anything of the answer, which may quote it.
"""

from __future__ import annotations

import functools
import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from socket import gaierror
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from revscript import __version__
from revscript.config import Network
from revscript.errors import DeliveryFailed
from revscript.model import Clock
from revscript.net import tls
from revscript.net.cable import Cable

DEADLINE = 30.0  # s for a whole call: the other side only has to say "yes"
MOST_ANSWER = 2000  # bytes that are read, so that the other side is through with it
CACHED = ("Age", "Via", "X-Cache")  # fields of answers that a cache may have kept, with an old Date (RFC 9111 §5.1)

_NETWORK = "Check the URL in settings.json, and whether this machine may reach it (firewall, proxy)."


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. `date` is its Date, where TLS vouches for it; `asked` is when we asked, by our clock."""

    host: str
    status: int
    date: datetime | None
    asked: datetime


class Web:
    """Calls of one thread, one at a time. `network` are the settings in force, paths in them relative to `root`."""

    def __init__(self, root: Path, network: Callable[[], Network], clock: Clock) -> None:
        self._root = root
        self._network = network
        self._clock = clock
        self._cable = Cable()

    def get(self, url: str) -> Answer:
        """Call an URL; DeliveryFailed when the answer is not good, or none came."""
        return self._call("GET", url, b"", {})

    def post(self, url: str, body: Mapping[str, Any], key: str) -> Answer:
        """Hand over JSON; a repetition has the same `key` (Idempotency-Key). DeliveryFailed as with `get`."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        return self._call("POST", url, json.dumps(body, ensure_ascii=False).encode(), headers)

    def probe(self, url: str) -> Answer:
        """Ask the URL's server for nothing but its `Date`: any answer is good. DeliveryFailed when none comes."""
        return self._call("HEAD", _origin(url), b"", {}, any_status=True)

    def stop(self) -> None:
        """End a call under way, and let no new one begin."""
        self._cable.cut()

    def _call(self, method: str, url: str, body: bytes, headers: dict[str, str], *, any_status: bool = False) -> Answer:
        host, network = shown(url), self._network()
        seconds = (min(network.connect_timeout, DEADLINE), min(network.read_timeout, DEADLINE))
        proxies = {"http": network.proxy, "https": network.proxy} if network.proxy else {}
        asked = self._clock()
        try:
            with self._cable.deadline(DEADLINE), self._session(network) as session:
                request = requests.Request(method, url, headers, data=body or None)
                with closing(
                    session.send(
                        session.prepare_request(request),
                        timeout=seconds,
                        proxies=proxies,
                        allow_redirects=False,
                        stream=True,
                    )
                ) as response:
                    if not any_status:
                        _judge(response.status_code, host)
                    with suppress(HTTPError, HTTPException, OSError):  # the status has said all
                        response.raw.read(MOST_ANSWER, decode_content=False)
                    date = _date(response.headers) if url.lower().startswith("https:") else None
                    return Answer(host, response.status_code, date, asked)
        except (requests.RequestException, HTTPError, HTTPException, OSError, ValueError) as error:
            raise _translated(error, host) from error
        finally:
            self._cable.close()

    def _session(self, network: Network) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.headers.update(
            {
                "User-Agent": f"revscript/{__version__}",
                "Accept-Encoding": "identity",
                "Cache-Control": "no-cache, no-store",
            }
        )
        ca_file = self._root / network.ca_file if network.ca_file else None
        adapter = _Adapter(self._cable, _context(ca_file, ca_file.stat().st_mtime_ns if ca_file else 0))
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        return session


def shown(url: str) -> str:
    """What a message may show of an URL: the host."""
    try:
        return urlsplit(url).hostname or "(no host)"
    except ValueError:
        return "(no host)"


@functools.lru_cache(maxsize=4)
def _context(ca_file: Path | None, _changed: int) -> ssl.SSLContext:
    """A context of its own: urllib3 offers HTTP by it (ALPN), which mail servers must not see."""
    made = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    return made


class _Adapter(HTTPAdapter):
    """Connections of requests on our cable, checked by our context."""

    def __init__(self, cable: Cable, context: ssl.SSLContext) -> None:
        self._pools = _pools(cable)
        self._context = context
        super().__init__()

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, ssl_context=self._context, **options)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, ssl_context=self._context, **options)
        manager.pool_classes_by_scheme = self._pools
        return manager

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Nothing: the context checks, and requests would add authorities of its own to it."""


def _pools(cable: Cable) -> dict[str, type[HTTPConnectionPool]]:
    """urllib3's pools with connections that can be cut."""

    class Plain(HTTPConnection):
        def _new_conn(self) -> Any:
            return cable.dial(self._dns_host, self.port, _seconds(self.timeout))

    class Secure(HTTPSConnection):
        def _new_conn(self) -> Any:
            return cable.dial(self._dns_host, self.port or 443, _seconds(self.timeout))

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain  # pyright: ignore[reportAssignmentType]  # urllib3's protocol is stricter than it

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure  # pyright: ignore[reportAssignmentType]

    return {"http": PlainPool, "https": SecurePool}


def _seconds(timeout: Any) -> float:
    return float(timeout) if isinstance(timeout, int | float) else DEADLINE


def _origin(url: str) -> str:
    """The URL's server, without path and login."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/"


def _judge(status: int, host: str) -> None:
    if 200 <= status < 300:
        return
    word = f" {HTTPStatus(status).phrase}" if status in set(HTTPStatus) else ""
    raise DeliveryFailed(f"{host} answered {status}{word}.", hint=_hint(status))


def _hint(status: int) -> str:
    if 300 <= status < 400:
        return "It leads to another address; write the final one into settings.json."
    if 400 <= status < 500:
        return "Check the URL in settings.json: the service does not accept the call."
    return "The service has a fault of its own; its operator must look."


def _date(headers: Mapping[str, str]) -> datetime | None:
    """The Date of an answer (RFC 9110 §6.6.1: always GMT), unless a cache may have kept it."""
    if any(name in headers for name in CACHED):
        return None
    try:
        date = parsedate_to_datetime(headers.get("Date", ""))
        return date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _translated(error: Exception, host: str) -> DeliveryFailed:
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            explained = tls.explain(cause, host)
            return DeliveryFailed(str(explained), hint=explained.hint)
    if any(isinstance(cause, gaierror) for cause in causes):
        return DeliveryFailed(f"The name {host} cannot be resolved.", hint=_NETWORK)
    if any(isinstance(cause, TimeoutError | requests.Timeout) for cause in causes):
        return DeliveryFailed(f"{host} does not answer in time.", hint=_NETWORK)
    for cause in causes:
        if isinstance(cause, OSError) and cause.strerror:
            return DeliveryFailed(f"{host}: {cause.strerror}.", hint=_NETWORK)
    return DeliveryFailed(f"{host} gave no answer that can be used ({type(causes[-1]).__name__}).", hint=_NETWORK)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what lies behind it; requests and urllib3 keep that in their arguments."""
    seen: list[BaseException] = [error]
    while seen and len(seen) < 50:
        one = seen.pop(0)
        yield one
        inner = (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args)
        seen += [cause for cause in inner if isinstance(cause, BaseException) and cause is not one]
