def onEMail(mail):
    log(mail.defects)
    documents.incoming(mail, priority="sofort")
    missions.find("E 26 990007").folder.add(mail)
