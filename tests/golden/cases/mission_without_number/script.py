def onEMail(mail):
    mission = missions.open("Hochwasser Musterbach", keyword="THL 3", address="Musterstadt", units=["MUS 1/44"])
    mission.folder.add(mail.attachments, tags=["Pegel"])
    documents.incoming(mail, mission=mission, priority="sofort")
    notify.all("Hochwasser am Musterbach", level="alarm", about=mission)
    log([one.title for one in missions.running()])
