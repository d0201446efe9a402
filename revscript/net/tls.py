"""Protection of connections: which way to take, and one TLS context per trust setting.

SECURITY: certificates and host names are checked with our own context (imaplib and smtplib check nothing by default),
unless the account says `ignore_server_certificate`; TLS is 1.2 or newer in any case. Clear text goes only to this
machine, or where the account says `insecure`. Of a server's certificate (DER, capped in size) only the end of its
validity is read.
"""

from __future__ import annotations

import functools
import socket
import ssl
from datetime import datetime
from pathlib import Path
from typing import Literal

from cryptography import x509

from revscript.config.base import is_loopback
from revscript.errors import Downgrade, SourceError, Unreachable

Way = Literal["implicit", "starttls"]

IMPLICIT_PORTS = frozenset({993, 995, 465})  # RFC 8314 §3
MOST_DER = 64 << 10  # bytes of a certificate: real ones have 1 to 4 KiB


def way(port: int) -> Way:
    """TLS from the first byte on the ports made for it, else STARTTLS (design §10)."""
    return "implicit" if port in IMPLICIT_PORTS else "starttls"


def require_clear_text_allowed(host: str, *, insecure: bool, protocol: str) -> None:
    """Downgrade, unless the account or the loopback allows clear text."""
    if insecure or is_loopback(host):
        return
    raise Downgrade(
        f"{host} offers {protocol} without encryption only.",
        hint='Ask the provider for an encrypted port. Only if you must: "insecure": true sends the password in clear.',
    )


def context(ca_file: Path | None, *, ignore_certificate: bool = False) -> ssl.SSLContext:
    """The TLS context for a trust setting; SourceError when the CA file cannot be used.

    With `ignore_certificate` neither chain nor host name are checked. Contexts are shared: one costs 57 ms and 830 KB,
    a connection on a shared one 39 KB (testbed.md §0).
    """
    if ignore_certificate:
        return _unchecked()
    try:
        return _checked(ca_file, ca_file.stat().st_mtime_ns if ca_file else 0)
    except (OSError, ssl.SSLError) as error:
        raise SourceError(
            f"ca_file {ca_file}: {error}", hint="It must be a PEM file with the authority's certificate."
        ) from error


@functools.lru_cache(maxsize=64)
def _checked(ca_file: Path | None, _changed: int) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    return made


@functools.lru_cache(maxsize=1)
def _unchecked() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    return made


def certificate_expires(sock: socket.socket) -> datetime | None:
    """When the server's certificate ends, in UTC; None in clear text, or where it cannot be read."""
    if not isinstance(sock, ssl.SSLSocket):
        return None
    der = sock.getpeercert(binary_form=True)
    if not der or len(der) > MOST_DER:
        return None
    try:
        return x509.load_der_x509_certificate(der).not_valid_after_utc
    except ValueError:  # it was taken unchecked, and is none
        return None


def explain(error: ssl.SSLError, host: str) -> SourceError:
    """A failed TLS handshake, or a TLS connection that broke, as a sentence that says what to do."""
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError):
        return Unreachable(f"{host} closed the connection.", hint="It is tried again by itself.")
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message.rstrip(".")
        return SourceError(f"The certificate of {host} is not trusted: {why}.", hint=_way_out(error.verify_code))
    if "PROTOCOL" in (error.reason or ""):
        return SourceError(
            f"{host} speaks only versions of TLS that are broken ({error.reason}).",
            hint="The server must offer TLS 1.2 or newer: ask the provider.",
        )
    return SourceError(f"TLS with {host} failed: {error.reason or error}.", hint="Check host and port.")


def _way_out(verify_code: int) -> str:
    if verify_code in (9, 10):  # X509_V_ERR_CERT_NOT_YET_VALID, …_HAS_EXPIRED
        return "Check this machine's clock; if it is right, the server's operator must renew the certificate."
    if verify_code in (62, 64):  # X509_V_ERR_HOSTNAME_MISMATCH, …_IP_ADDRESS_MISMATCH
        return "Write the host as the certificate names it; the provider knows the name."
    return "If it is your own server, name its authority's certificate in ca_file."
