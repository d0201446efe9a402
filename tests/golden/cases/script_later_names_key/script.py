def onEMail(mail):
    number = mail.search(r"Einsatznummer: (.*)").group(1)
    if mail.is_from("@leitstelle.example"):
        missions.upsert(number, keyword="B 3")
    documents.incoming(
        mail,
        key=f"Einsatz {number}",
        mission=missions.find(number),
        subject=f"{missions.find(number).keyword} {number}",
    )
