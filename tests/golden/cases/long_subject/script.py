def onEMail(mail):
    mail.label(mail.subject)
    documents.incoming(mail, subject=f"AW: {mail.subject}")
    notify.role("S2", mail.subject)
