"""SMTP (RFC 5321, submission RFC 6409), by smtplib.

SECURITY: TLS by the rule of `net.tls`, checked with our own context; credentials only over TLS, to this machine, or
where the account says `insecure`. A time-out on every step, and a deadline for the whole delivery: a server that
trickles bytes cannot hold a lane for ever.
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from revscript.config import PasswordAuthentication, Smtp
from revscript.errors import DeliveryFailed, RevscriptError
from revscript.net import failures, tls
from revscript.net.cable import Cable
from revscript.outbound.delivery import Delivery
from revscript.outbound.smtp_client import Client

PER_MIB = 60.0  # s added to the deadline for each MiB: a slow line
LONGEST = 540.0  # s for any delivery; the outbox leases an act for 600

# Authentication required, weak, failed, encryption required (RFC 4954 §6), no permission to send (RFC 3463 §3.8): what
# the administrator can mend is not the mail's fault.
_ACCOUNT_CODES = frozenset({530, 534, 535, 538})


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """A server with a login. `timeout` for each step, `deadline` for one delivery, `PER_MIB` more for each MiB."""

    settings: Smtp
    login: PasswordAuthentication | None
    ca_file: Path | None
    timeout: float
    deadline: float
    ignore_certificate: bool = False

    def send(self, sender: str, recipients: Sequence[str], message: bytes, delivery: Delivery) -> None:
        """Hand the mail over; what the server says of each recipient goes into `delivery`.

        DeliveryFailed when it could not be handed over at all; its outcome is then unknown at worst, never lost.
        """
        cable = Cable()
        most = min(LONGEST, self.deadline + PER_MIB * len(message) / (1 << 20))
        with (
            _translated(self.settings.host),
            closing(cable),
            cable.deadline(most),
            closing(self._client(cable)) as client,
        ):
            if accepted := _envelope(client, sender, recipients, delivery):
                client.wait_longer(2 * most)  # it may take minutes (RFC 5321 §4.5.3.2.6): the deadline alone counts
                answer = _said(client.data(message))
                delivery.accepted.update(dict.fromkeys(accepted, answer))
            client.say_goodbye()

    def _client(self, cable: Cable) -> Client:
        return Client(
            cable,
            self.settings,
            self.ca_file,
            self.login,
            self.timeout,
            ignore_certificate=self.ignore_certificate,
        )


def _envelope(client: Client, sender: str, recipients: Sequence[str], delivery: Delivery) -> list[str]:
    """MAIL and RCPT → the recipients that the server takes."""
    beyond_ascii = [address for address in recipients if not address.isascii()]
    wanted = list(recipients)
    options: list[str] = []
    if client.has_extn("smtputf8"):
        options = ["SMTPUTF8"] if beyond_ascii or not sender.isascii() else []
    else:
        delivery.refused.update(dict.fromkeys(beyond_ascii, "the server knows only addresses in ASCII"))
        wanted = [address for address in recipients if address.isascii()]
        if not sender.isascii():
            raise DeliveryFailed(f"The server knows only addresses in ASCII, not {sender}.")
    if not wanted:
        return []
    _said(client.mail(sender, options))
    return [address for address in wanted if _takes(client, address, delivery)]


def _takes(client: Client, address: str, delivery: Delivery) -> bool:
    code, text = client.rcpt(address)
    if code in (250, 251):
        return True
    failure = _failure(452 if code == 552 else code, text)  # too many recipients (RFC 5321 §4.5.3.1.10)
    if code in (421, -1) or code in _ACCOUNT_CODES:  # it says nothing about this recipient
        raise failure
    answers = delivery.refused if failure.permanent else delivery.later
    answers[address] = f"{code} {_text(text)}"
    return False


def _said(answer: tuple[int, bytes]) -> str:
    code, text = answer
    if code != 250:
        raise _failure(code, text)
    return _text(text)


def _failure(code: int, text: bytes) -> DeliveryFailed:
    """A refusal: 5xx for good, all else for now (RFC 5321 §4.2.1)."""
    if code in _ACCOUNT_CODES:
        hint = 'Check user name and password under "authentication", and what the provider demands for sending.'
        return DeliveryFailed(f"The server wants a login: {code} {_text(text)}", hint=hint)
    return DeliveryFailed(f"The server said: {code} {_text(text)}", permanent=500 <= code < 600)


def _text(answer: bytes | str) -> str:
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    return " ".join("".join(char if char.isprintable() else " " for char in text[:1000]).split())[:500]


@contextmanager
def _translated(host: str) -> Generator[None]:
    """smtplib's and the socket's exceptions as ours; only what the server says of a mail is permanent."""
    try:
        yield
    except smtplib.SMTPDataError as error:  # DATA refused before the mail
        raise _failure(error.smtp_code, _bytes(error)) from error
    except smtplib.SMTPAuthenticationError as error:
        raise DeliveryFailed(
            f"{host} refused the login: {error.smtp_code} {_text(_bytes(error))}",
            hint="Check user name and password; many providers demand an app password.",
        ) from error
    except smtplib.SMTPResponseException as error:  # greeting, EHLO, STARTTLS
        raise DeliveryFailed(f"{host} cannot be used now: {error.smtp_code} {_text(_bytes(error))}") from error
    except RevscriptError as error:
        permanent = isinstance(error, DeliveryFailed) and error.permanent
        raise DeliveryFailed(str(error), permanent=permanent, hint=error.hint) from error
    except ssl.SSLError as error:
        explained = tls.explain(error, host)
        raise DeliveryFailed(str(explained), hint=explained.hint) from error
    except TimeoutError as error:
        raise DeliveryFailed(f"{host} does not answer in time.", hint="Check host, port and firewall.") from error
    except OSError as error:
        what, way_out = failures.explain(error, host)
        raise DeliveryFailed(_text(what), hint=way_out) from error
    except ValueError as error:  # a host name that cannot be one
        text = _text(str(error)) or type(error).__name__
        raise DeliveryFailed(f"{host}: {text}", hint="Check host, port and firewall.") from error


def _bytes(error: smtplib.SMTPResponseException) -> bytes:
    return error.smtp_error if isinstance(error.smtp_error, bytes) else str(error.smtp_error).encode()
