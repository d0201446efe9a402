"""A host whose libraries break at the worst moment, with a password in their hands: `python -m tests.system.crasher`.

`login` of IMAP and SMTP raises what nobody expects; the rest is `revscript run --log-level debug`.
"""

from __future__ import annotations

import smtplib
import sys
from typing import Any, NoReturn

from imapclient import IMAPClient

from revscript.cli import main


def broken(_self: object, username: str, password: str, **_: Any) -> NoReturn:
    """Raise with the password among the local variables, and in the frames above."""
    copied = [username, password]
    raise RuntimeError(f"the library broke after {len(copied)} arguments")


if __name__ == "__main__":
    for client in (IMAPClient, smtplib.SMTP):
        setattr(client, "login", broken)  # noqa: B010  another signature
    sys.argv = ["revscript", "run", "--log-level", "debug"]
    main()
