"""Alarm mails of the control centre: a mission, a message form and a notice for everybody.

revscript calls onEMail with every incoming mail of an account whose methods name this file. Nothing that is called
here happens at once: the wishes are collected and carried out together when the script has ended without an error.
See what would happen to a mail, without doing it:  revscript try user_scripts/onEMail.py MAIL.eml

The mails that this example reads look like this:

    Einsatznummer: 2026-0815
    Stichwort: B 3
    Adresse: Beispielweg 7, Musterstadt
"""

import re

CONTROL_CENTRE = "alarm@leitstelle.example"


def onEMail(mail):
    # The address counts, never the name that is shown beside it: anybody can write any name there.
    if not mail.is_from(CONTROL_CENTRE):
        mail.ignore("not from the control centre")
        return

    number = value(mail.text, "Einsatznummer")
    if not number:
        # Never drop an alarm because it looks different today: people shall read it.
        documents.incoming(mail, priority="flash")
        notify.all(f"Alarm mail without a number: {mail.subject}", level="alarm")
        return

    keyword = value(mail.text, "Stichwort")
    address = value(mail.text, "Adresse")

    # A test alarm opens no real mission, and wakes nobody.
    kind = "exercise" if mail.is_test() else "real"
    level = "info" if mail.is_test() else "alarm"

    # The same number is the same mission: a second mail changes it, and `change` says what is new.
    mission, change = missions.upsert(number, keyword=keyword, address=address, text=mail.text, kind=kind)
    documents.incoming(mail, priority="flash", mission=mission)

    # The same key is the same notice: people see one that is updated, not two.
    if change:
        notify.all(f"{keyword} {address} ({number})", level=level, key=f"mission {number}", about=mission)


def value(text, key):
    """The rest of the line that begins with `key:`, or nothing."""
    found = re.search(rf"^{key}\s*:[ \t]*(.*\S)", text, re.MULTILINE)
    return found.group(1) if found else ""
