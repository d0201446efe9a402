def onEMail(mail):
    number = mail.search(r"Problem ID: (\d+)").group(1)
    over = mail.subject.startswith("Resolved")
    documents.incoming(mail, key=f"Störung {number}", subject=mail.subject, priority="einfach" if over else "sofort")
    notify.role("Leitwarte", mail.subject, level="info" if over else "important", key=f"Störung {number}")
