"""Message intake (Belegeingang): the mail becomes an incoming message form."""

from __future__ import annotations

from revscript.jail.effects import FileForm
from revscript.jail.reading.model import Reading
from revscript.methods.view import View, attachments_in_parts
from revscript.model import Outcome


def run(reading: Reading, view: View) -> Outcome:
    """One form with all attachments; a script that filed the mail first has the last word."""
    parts = attachments_in_parts(reading, inline=view.context.attachments_inline) or [()]
    return Outcome(by="method:document", effects=tuple(FileForm(attachments=part) for part in parts))
