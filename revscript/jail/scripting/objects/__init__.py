"""The objects that a script works with, and the names under which it finds them."""

from __future__ import annotations

from typing import Any

from revscript.jail.scripting.objects.desk import Desk
from revscript.jail.scripting.objects.documents import Documents
from revscript.jail.scripting.objects.mail import Mail
from revscript.jail.scripting.objects.missions import Missions
from revscript.jail.scripting.objects.notify import Notices
from revscript.jail.scripting.objects.send import Outbox
from revscript.jail.scripting.objects.tables import Tables

__all__ = ["Desk", "Mail", "names_for"]


def names_for(desk: Desk) -> dict[str, Any]:
    """The global names of a script, beside the builtins; bound methods, whose text shows no address."""
    missions = Missions(desk)
    return {
        "documents": Documents(desk, missions),
        "missions": missions,
        "notify": Notices(desk),
        "send_mail": Outbox(desk).send_mail,
        "tables": Tables(desk).tables,
        "now": desk.now,
        "log": desk.log,
        "print": desk.log,
    }
