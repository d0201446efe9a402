"""SMTP (RFC 5321, submission RFC 6409), by smtplib.

SECURITY: TLS by the rule of `net.tls`, checked with our own context; credentials only over TLS, to this machine, or
where the account says `insecure`. A time-out on every step, and one for the whole delivery: a server that trickles
bytes cannot hold a lane for ever.
"""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from revscript.config import PasswordAuthentication, Smtp
from revscript.errors import DeliveryFailed, RevscriptError, SourceError
from revscript.net import tls
from revscript.outbound.delivery import Delivery

PER_MIB = 10.0  # s added to the delivery's deadline for each MiB


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """A server with a login. `deadline`: seconds for one delivery, `PER_MIB` more for each MiB."""

    settings: Smtp
    login: PasswordAuthentication | None
    ca_file: Path | None
    timeout: float
    deadline: float

    def send(self, sender: str, recipients: Sequence[str], message: bytes, delivery: Delivery) -> None:
        """Hand the mail over; what the server says of each recipient goes into `delivery`.

        DeliveryFailed when it could not be handed over at all; its outcome is then unknown at worst, never lost.
        """
        with _translated(self.settings.host), self._connected(len(message)) as client:
            options = _options(client, [sender, *recipients])
            code, text = client.mail(sender, options)
            if code != 250:
                raise _failure(code, text)
            accepted = [address for address in recipients if _ask(client, address, delivery)]
            if not accepted:
                client.rset()
                return
            code, text = client.data(message)
            if code != 250:
                raise _failure(code, text)
            delivery.accepted.update(dict.fromkeys(accepted, _text(text)))

    @contextmanager
    def _connected(self, size: int) -> Generator[smtplib.SMTP]:
        client = self._open()
        watchdog = threading.Timer(self.deadline + PER_MIB * (size >> 20), _cut, [client])
        watchdog.daemon = True
        watchdog.start()
        try:
            self._protect(client)
            if self.login is not None:
                client.login(self.login.username, self.login.password.reveal())
            yield client
            try:
                client.quit()
            except (OSError, smtplib.SMTPException):
                pass  # the mail was taken: a lost goodbye does not matter
        finally:
            watchdog.cancel()
            client.close()

    def _open(self) -> smtplib.SMTP:
        host, port = self.settings.host, self.settings.port
        if tls.way(port) == "implicit":
            return smtplib.SMTP_SSL(host, port, timeout=self.timeout, context=tls.context(self.ca_file))
        return smtplib.SMTP(host, port, timeout=self.timeout)

    def _protect(self, client: smtplib.SMTP) -> None:
        client.ehlo_or_helo_if_needed()
        if tls.way(self.settings.port) == "implicit":
            return
        if client.has_extn("starttls"):
            client.starttls(context=tls.context(self.ca_file))
            client.ehlo()
        else:
            tls.require_clear_text_allowed(self.settings.host, insecure=self.settings.insecure, protocol="SMTP")


def _cut(client: smtplib.SMTP) -> None:
    if client.sock is not None:
        try:
            client.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def _options(client: smtplib.SMTP, addresses: Sequence[str]) -> list[str]:
    if all(address.isascii() for address in addresses):
        return []
    if not client.has_extn("smtputf8"):
        raise DeliveryFailed("The server cannot handle addresses with letters beyond ASCII.", permanent=True)
    return ["SMTPUTF8"]


def _ask(client: smtplib.SMTP, address: str, delivery: Delivery) -> bool:
    code, text = client.rcpt(address)
    if code in (250, 251):
        return True
    if code == 421:
        raise _failure(code, text)
    answers = delivery.refused if 500 <= code < 600 else delivery.later
    answers[address] = f"{code} {_text(text)}"
    return False


def _failure(code: int, text: bytes) -> DeliveryFailed:
    """A refusal of the whole mail: 5xx for good, all else for now (RFC 5321 §4.2.1)."""
    return DeliveryFailed(f"The server said: {code} {_text(text)}", permanent=500 <= code < 600)


def _text(answer: bytes) -> str:
    return answer.decode("utf-8", "replace")[:500]


@contextmanager
def _translated(host: str) -> Generator[None]:
    """smtplib's and the socket's exceptions as ours. Only a refusal with 5xx is permanent, a refused login is not."""
    try:
        yield
    except DeliveryFailed:
        raise
    except smtplib.SMTPAuthenticationError as error:
        text = _text(bytes(error.smtp_error)) if isinstance(error.smtp_error, bytes) else str(error.smtp_error)
        raise DeliveryFailed(
            f"{host} refused the login: {error.smtp_code} {text}", hint="Check user name and password."
        ) from error
    except ssl.SSLError as error:
        explained = tls.explain(error, host)
        raise DeliveryFailed(str(explained), hint=explained.hint) from error
    except smtplib.SMTPResponseException as error:
        raise _failure(error.smtp_code, str(error.smtp_error).encode()) from error
    except (OSError, smtplib.SMTPException) as error:
        raise DeliveryFailed(f"{host}: {error or type(error).__name__}", hint="Check host, port, firewall.") from error
    except (SourceError, RevscriptError) as error:
        raise DeliveryFailed(str(error), hint=error.hint) from error
    except (ValueError, UnicodeError) as error:
        raise DeliveryFailed(f"{host}: {error}", permanent=True) from error
