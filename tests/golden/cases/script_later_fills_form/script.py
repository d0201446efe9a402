def onEMail(mail):
    number = mail.search(r"Einsatznummer: (.*)").group(1)
    if mail.is_from("@leitstelle.example"):
        missions.upsert(number, keyword="B 3")
    else:
        mission = missions.find(number)
        log(f"gehört zu {mission.keyword}")
        documents.incoming(mail, mission=mission, subject="Feuer unter Kontrolle", priority="sofort")
