"""Mission folder (Einsatzmappe): all attachments go into the folder of the running mission, else into the tray."""

from __future__ import annotations

from revscript.jail.effects import AddToFolder
from revscript.jail.reading.model import Reading
from revscript.methods.view import View, all_attachments
from revscript.model import Outcome


def run(reading: Reading, view: View) -> Outcome:
    """The attachments, if there are any; which mission runs is decided in the commit."""
    indexes = all_attachments(reading, inline=view.context.attachments_inline)
    effects = (AddToFolder(attachments=indexes),) if indexes else ()
    return Outcome(by="method:mission_folder", effects=effects)
