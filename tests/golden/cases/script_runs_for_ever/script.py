def onEMail(mail):
    documents.incoming(mail)
    while True: pass
