"""Alarm mails of the control centre: mission, message form, notice. The same number is the same mission.

Reads lines like "Stichwort : B 3". A second mail about a mission changes it, and only what is new is told.
"""

import re

CONTROL_CENTRE = "leitstelle@ils-musterland.example"


def onEMail(mail):
    if not mail.is_from(CONTROL_CENTRE):
        mail.ignore("nicht von der Leitstelle")
        return

    number = value(mail, "Einsatznummer")
    if not number:
        # An alarm that looks different today is an alarm all the same.
        documents.incoming(mail, priority="blitz")
        notify.all(f"Alarm ohne Einsatznummer: {mail.subject}", level="alarm")
        return

    test = mail.is_test()
    keyword = value(mail, "Stichwort")
    address = f"{value(mail, 'Straße')} {value(mail, 'Haus-Nr.')}, {value(mail, 'Ort')}"
    mission, change = missions.upsert(
        number,
        keyword=keyword,
        address=address,
        text=value(mail, "Meldung"),
        units=re.findall(r"^Einheit\s*:[ \t]*(.*\S)", mail.text, re.MULTILINE),
        kind="exercise" if test else "real",
    )
    # One form for all mails about this mission: a further mail is added to it.
    documents.incoming(mail, key=f"Einsatz {number}", priority="blitz", mission=mission)
    log(f"{number}: {change}")

    if test:
        mail.label("Probealarm")
    if mail.late:
        # revscript lowers the alarm of a late mail by itself: nobody is woken for what is long over.
        mail.label("verspätet")
        notify.all(f"Verspätet eingegangen: {keyword}, {address} ({number})", level="alarm", about=mission)
    elif change.created:
        level = "info" if test else "alarm"
        notify.all(f"{keyword}: {address} ({number})", level=level, key=f"Einsatz {number}", about=mission)
    elif change:
        notify.role("S3", f"Folgealarm {number}: {change}", level="important", about=mission)


def value(mail, key):
    """The rest of the line that begins with the key and a colon, or nothing."""
    found = re.search(rf"^{re.escape(key)}\s*:[ \t]*(.*\S)", mail.text, re.MULTILINE)
    return found.group(1) if found else ""
