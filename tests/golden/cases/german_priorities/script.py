def onEMail(mail):
    documents.incoming(mail, priority=mail.search("Vorrang: (.*)").group(1))
