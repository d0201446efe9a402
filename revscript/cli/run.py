"""`revscript run`: the host, until it is told to stop."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Annotated

import structlog
import typer

from revscript import logs
from revscript.cli.options import InstanceOption, instance_at, zone_of
from revscript.config import load_settings
from revscript.host import Host, locked

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

log = structlog.get_logger()


def run(
    instance: InstanceOption = None,
    log_level: Annotated[logs.LogLevel, typer.Option(help="What is logged, to standard error.")] = "info",
) -> None:
    """Run the host until it is stopped.

    It watches the mailboxes, works the mails and sends what is to be sent; SIGTERM or Ctrl-C stops it within 5 s. It
    does not start when settings.json has errors, or when another host runs on the instance (exit code 2). A broken
    account file stops only its own account; see `revscript status`.
    """
    logs.configure(log_level)
    # Blocked before any thread starts, and taken by sigwait: no moment in which a signal could be lost or cut in.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    where = instance_at(instance)
    load_settings(where.settings)  # raises with everything that is wrong
    logs.configure(log_level, zone=zone_of(where))
    with locked(where):
        host = Host(where)
        host.start()
        log.info("stop asked for", signal=signal.Signals(signal.sigwait(STOP_SIGNALS)).name)
        host.stop()
    _leave()


def _leave() -> None:
    """End now, even when a thread still waits for a silent server: nothing that it could lose is undone."""
    left = [one.name for one in threading.enumerate() if one is not threading.main_thread() and not one.daemon]
    if left:
        log.warning("left behind", threads=left)
        sys.stderr.flush()
        os._exit(0)
