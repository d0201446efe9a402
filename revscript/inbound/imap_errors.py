"""imapclient's, imaplib's and the socket's exceptions as ours (testbed.md §5, §6)."""

from __future__ import annotations

import imaplib
import re
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from imapclient.exceptions import CapabilityError, IMAPClientError

from revscript.errors import Downgrade, SourceError, Unreachable
from revscript.inbound.source import Refused, Throttled
from revscript.net import failures, tls

_BACKOFF = re.compile(r"Suggested Backoff Time: (\d{1,9})", re.IGNORECASE)  # ms, Exchange
_NOT_CONNECTED = "authenticated but not connected"  # Exchange, mailboxes.md §3 no. 11


class ServerSaysNo(IMAPClientError):
    """A tagged NO: the server understood and refused; the connection is as good as before."""


@contextmanager
def translated(host: str) -> Generator[None]:
    """Let only SourceErrors out."""
    try:
        yield
    except SourceError:
        raise
    except ssl.SSLError as error:
        raise tls.explain(error, host) from error
    except CapabilityError as error:
        raise Downgrade(f"{host}: {text_of(error)}") from error
    except imaplib.IMAP4.error as error:
        raise said_no(host, error) from error
    except TimeoutError as error:
        raise Unreachable(
            f"{host} does not answer in time.",
            hint="Check host, port and firewall. TLS from the first byte is spoken on the ports 993, 995 and 465, "
            "STARTTLS on all others.",
        ) from error
    except OSError as error:
        what, way_out = failures.explain(error, host)
        raise Unreachable(what, hint=way_out) from error
    except (RecursionError, MemoryError, ValueError, TypeError, LookupError) as error:
        raise Unreachable(f"{host} sends answers that cannot be understood: {type(error).__name__}") from error


def said_no(host: str, error: imaplib.IMAP4.error) -> SourceError:
    """A NO or BAD as the error that it means."""
    text = text_of(error)
    if found := _BACKOFF.search(text):
        return Throttled(f"{host} asks for a pause: {text}", int(found[1]) / 1000)
    if _NOT_CONNECTED in text:
        return Unreachable(
            f"{host}: {text}",
            hint="The server throttles us, or this login has no right to this mailbox, or a shared mailbox is "
            "addressed in the wrong form.",
        )
    return Refused(f"{host}: {text}") if isinstance(error, ServerSaysNo) else Unreachable(f"{host}: {text}")


def means_trouble(text: str) -> bool:
    """Whether a NO says that nothing else will work on this connection either."""
    return bool(_BACKOFF.search(text)) or _NOT_CONNECTED in text


def text_of(answer: Any) -> str:
    """What a server said, as one short line without control characters."""
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else str(answer)
    if text.startswith(("b'", 'b"')):  # imaplib's errors are sometimes the repr of bytes
        text = text[2:-1]
    return " ".join("".join(char if char.isprintable() else " " for char in text[:1000]).split())[:300]
