"""Weather warnings: one notice for each warning, renewed by every further mail about it."""

SERVICE = "@wetterdienst.example"


def onEMail(mail):
    if not mail.is_from(SERVICE):
        mail.ignore("nicht vom Wetterdienst")
        return
    number = mail.search(r"Warnung Nr\.\s*(\d+)")
    stage = mail.search(r"Stufe\s*(\d)")
    if not number:
        notify.role("S2", f"Wettermeldung: {mail.subject}")
        return
    over = "aufgehoben" in mail.text.lower()
    serious = not over and stage and int(stage.group(1)) >= 3
    mail.label("Entwarnung" if over else f"Unwetter Stufe {stage.group(1) if stage else '?'}")
    notify.all(mail.subject, level="important" if serious else "info", key=f"Wetter {number.group(1)}")
