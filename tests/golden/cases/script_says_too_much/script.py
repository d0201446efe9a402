def onEMail(mail):
    documents.incoming(mail)
    for number in range(100_000):
        log("Zeile", number)
