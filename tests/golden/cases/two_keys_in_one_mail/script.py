def onEMail(mail):
    for line in mail.text.splitlines():
        number, keyword, address = line.split(";")
        mission, change = missions.upsert(number, keyword=keyword, address=address)
        form = documents.incoming(mail, key=number, mission=mission, subject=f"{keyword} {address}")
        log(form.key, form.subject)
