"""The reports of stab.py without its mistake: a report that names no mission is filed and shown, never lost."""


def onEMail(mail):
    found = mail.search(r"Einsatznummer:\s*(.*\S)")
    if not found:
        documents.incoming(mail, distribution=["S2"])
        notify.role("S2", f"Meldung ohne Einsatznummer: {mail.subject}", level="important", about=only_mission())
        mail.label("ohne Einsatznummer")
        return
    mission = missions.find(found.group(1))
    documents.incoming(mail, mission=mission, priority="sofort", distribution=["S2", "S3"])


def only_mission():
    """The mission that is meant when just one runs, else None."""
    running = missions.running()
    return running[0] if len(running) == 1 else None
