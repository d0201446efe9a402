def onEMail(mail):
    mission = missions.upsert("E 26 990007", keyword="B 3")
    documents.incoming(mail, mission=mission)
