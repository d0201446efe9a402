"""Message intake (Belegeingang): the mail becomes an incoming message form."""

from __future__ import annotations

from revscript.jail.effects import FileForm
from revscript.jail.reading.model import Reading
from revscript.methods.view import View, all_attachments
from revscript.model import Outcome


def run(reading: Reading, view: View) -> Outcome:
    """One form with all attachments; a script that filed the mail first has the last word."""
    indexes = all_attachments(reading, inline=view.context.attachments_inline)
    return Outcome(by="method:document", effects=(FileForm(attachments=indexes),))
