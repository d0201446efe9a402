def onEMail(mail):
    for one in mail.attachments:
        log(one.name, "im Text" if one.inline else "Anlage")
    documents.incoming(mail)
