def onEMail(mail):
    documents.incoming(mail)
    notify.channel("melder", "B 3 Beispielweg 7", level="alarm")
