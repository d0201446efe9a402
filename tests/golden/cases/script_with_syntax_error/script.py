def onEMail(mail):
    if mail.subject = "B 3":
        documents.incoming(mail)
