def onEMail(mail):
    mission, change = missions.upsert("E 26 990007", keyword=mail.subject)
    documents.incoming(mail, key="Lage", mission=mission)
    log(mail.age, mail.late, change)
