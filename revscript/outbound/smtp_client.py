"""smtplib on a cable that can be cut, with a login that knows UTF-8 and no look into the DNS for our own name."""

from __future__ import annotations

import contextlib
import smtplib
import socket
import ssl
from base64 import b64encode
from pathlib import Path

from revscript.config import PasswordAuthentication, Smtp
from revscript.errors import DeliveryFailed
from revscript.net import tls
from revscript.net.cable import Cable

GOODBYE = 2.0  # s that an answer to QUIT may take: the mail is delivered already


class Client(smtplib.SMTP):
    """A connection that is protected and logged in, or an exception."""

    def __init__(
        self,
        cable: Cable,
        settings: Smtp,
        ca_file: Path | None,
        login: PasswordAuthentication | None,
        timeout: float,
        *,
        ignore_certificate: bool = False,
    ) -> None:
        self._cable = cable
        self._settings = settings
        self._ca_file = ca_file
        self._ignore_certificate = ignore_certificate
        self._implicit = tls.way(settings.port) == "implicit"
        # The name is looked up otherwise, which takes its time without a DNS; servers record our address anyway.
        super().__init__(settings.host, settings.port, local_hostname="[127.0.0.1]", timeout=timeout)
        try:
            self._protect()
            if login is not None:
                self._log_in(login.username, login.password.reveal())
        except BaseException:
            self.close()
            raise

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # a hook of smtplib
        sock = self._cable.dial(host, port, timeout)
        return self._context().wrap_socket(sock, server_hostname=host) if self._implicit else sock

    def _context(self) -> ssl.SSLContext:
        return tls.context(self._ca_file, ignore_certificate=self._ignore_certificate)

    def _protect(self) -> None:
        self.ehlo_or_helo_if_needed()
        if self._implicit:
            return
        if self.has_extn("starttls"):
            self.starttls(context=self._context())
            self.ehlo()  # what it said before TLS counts for nothing
        else:
            tls.require_clear_text_allowed(self._settings.host, insecure=self._settings.insecure, protocol="SMTP")

    def _log_in(self, username: str, password: str) -> None:
        """AUTH PLAIN, else LOGIN, in UTF-8 (RFC 4616); smtplib's own login fails at the first umlaut."""
        offered = self.esmtp_features.get("auth", "").upper().split()
        if "PLAIN" in offered:
            code, text = self.docmd("AUTH", "PLAIN " + _base64(f"\0{username}\0{password}"))
        elif "LOGIN" in offered:
            code, text = self.docmd("AUTH", "LOGIN " + _base64(username))
            if code == 334:
                code, text = self.docmd(_base64(password))
        else:
            what = ", ".join(offered) or "no login"
            raise DeliveryFailed(
                f"{self._settings.host} offers {what}, revscript knows PLAIN and LOGIN.",
                hint='If the server needs no login: "authentication": {"method": "none"} under "sending".',
            )
        if code != 235:
            raise smtplib.SMTPAuthenticationError(code, text)

    def wait_longer(self, seconds: float) -> None:
        """From now on the server may be silent this long."""
        if self.sock is not None:
            self.sock.settimeout(seconds)

    def say_goodbye(self) -> None:
        """QUIT, without waiting long for the answer."""
        with contextlib.suppress(OSError):  # SMTPException is one
            self.wait_longer(GOODBYE)
            self.quit()


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()
