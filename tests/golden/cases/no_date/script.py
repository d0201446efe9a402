def onEMail(mail):
    log(mail.date, mail.age, mail.late)
    documents.incoming(mail)
