"""Mails to the command staff: the second way of alarms, and reports of partners, which are answered.

This script has a mistake: it fails on a report without "Einsatznummer". stab_mended.py shows the way out.
"""


def onEMail(mail):
    if mail.is_auto_reply or mail.is_bounce:
        # Answering a machine would make two machines write to each other for ever.
        mail.ignore("automatische Antwort")
    elif mail.text.startswith("[ALARM]"):
        alarm(mail)
    else:
        report(mail)


def alarm(mail):
    """One line with semicolons: town; street; number; keyword; message; mission number."""
    town, street, house, keyword, message, number = mail.text.strip().removeprefix("[ALARM]").split(";")
    mission, change = missions.upsert(
        number, keyword=keyword, address=f"{street} {house}, {town}", text=message
    )
    documents.incoming(mail, key=f"Einsatz {number}", priority="blitz", mission=mission)
    # The control centre's fax tells the same: whichever comes second finds nothing new, and alarms nobody.
    if change.created:
        notify.all(f"{keyword}: {street} {house}, {town} ({number})", level="alarm", key=f"Einsatz {number}")
    else:
        mail.label("schon bekannt")


def report(mail):
    """File it with its mission, and confirm to the sender that it has arrived."""
    number = mail.search(r"Einsatznummer:\s*(.*\S)").group(1)
    mission = missions.find(number)
    documents.incoming(mail, mission=mission, priority="sofort", distribution=["S2", "S3"])
    send_mail(
        mail.sender,
        f"Eingang bestätigt: {mail.subject}",
        f"Ihre Meldung zum Einsatz {number} ist eingegangen und liegt dem Stab vor.",
        in_reply_to=mail,
    )
