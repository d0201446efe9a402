def onEMail(mail):
    notify.all(mail.subject, level="alarm")
