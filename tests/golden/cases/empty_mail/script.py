def onEMail(mail):
    log(repr(mail.subject), repr(mail.text), mail.sender, mail.date, mail.attachments, mail.defects)
    mail.label("leer")
