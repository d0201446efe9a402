"""Mission folder (Einsatzmappe): all attachments go into the folder of the running mission, else into the tray."""

from __future__ import annotations

from revscript.jail.effects import AddToFolder
from revscript.jail.reading.model import Reading
from revscript.methods.view import View, attachments_in_parts
from revscript.model import Outcome


def run(reading: Reading, view: View) -> Outcome:
    """The attachments, if there are any; of a mail that could not be read, the mail itself.

    Which mission runs is decided in the commit.
    """
    by = "method:mission_folder"
    if reading.fallback:
        return Outcome(by=by, effects=(AddToFolder(attachments=(), raw=True),))
    parts = attachments_in_parts(reading, inline=view.context.attachments_inline)
    return Outcome(by=by, effects=tuple(AddToFolder(attachments=part) for part in parts))
