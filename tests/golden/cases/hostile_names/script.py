def onEMail(mail):
    for one in mail.attachments:
        log(repr(one.name), repr(one.original_name), one.type)
    missions.find("E 26 990007").folder.add(mail, tags=["ungeprüft"])
