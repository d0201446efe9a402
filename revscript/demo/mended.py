"""What a mended script would do to the mail in quarantine: a dry run, of which nothing is committed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Console

from revscript.demo import report
from revscript.demo.checks import Check, Mail
from revscript.host import Host
from revscript.jail.wire import RunContext
from revscript.methods.script import outcome_of
from revscript.model import Outcome, wall_clock

NAME = "stab_mended.py"


def dry_run(host: Host, mails: Iterable[Mail], console: Console) -> Iterator[Check]:
    """Try the mended script on every mail in quarantine, and tell what it would do."""
    held = [mail for mail in mails if any(task["state"] == "quarantined" for task in mail["tasks"])]
    for mail in held:
        outcome = _run(host, mail)
        version = host.snapshot.scripts[NAME].sha256[:8]
        title = f"Mended: what {NAME} {version} would do to mail {mail['id']} (a dry run, nothing is done)"
        report.tell_list(title, [f"exit {outcome.exit}", *(f"→ {words}" for words in outcome.render())], console)
        yield Check(
            f"the mended script can handle mail {mail['id']}", outcome.exit == "done", str(outcome.trouble or "")
        )


def _run(host: Host, mail: Mail) -> Outcome:
    account, settings = host.snapshot.accounts[mail["account"]], host.snapshot.settings
    context = RunContext(
        mail_id=mail["id"],
        account=account.name,
        received=mail["received"].isoformat(),
        now=wall_clock().isoformat(),
        max_age=account.max_age,
        clock_trusted=True,
        time_zone=settings.time_zone,
        attachments_inline=False,
    )
    reading, stores = host.stores.ledger.reading(mail["id"]), host.stores
    run = host.sandbox.run_script(
        host.snapshot.scripts[NAME],
        reading,
        context,
        lambda question: stores.commit.answer(question, mail["id"]),
    )
    return outcome_of(NAME, run)
