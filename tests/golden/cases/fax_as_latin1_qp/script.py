def onEMail(mail):
    number = mail.search(r"Einsatznummer : (.*\S)").group(1)
    street = mail.search(r"(?m)^Straße : (.*\S)\s+Haus-Nr\.: (.*\S)")
    town = mail.search(r"(?m)^Ort : \d+ (\S+)").group(1)
    note = mail.search(r"(?s)BEMERKUNG -+\n(.*)\nENDE").group(1)
    address = f"{street.group(1)} {street.group(2)}, {town}"
    mission, change = missions.upsert(number, keyword="B 3", address=address, text=note)
    documents.incoming(mail, mission=mission, priority="blitz", subject=f"B 3 {address}")
    if change.created:
        notify.all(f"B 3: {address}\n{note}", level="alarm", key=number, about=mission)
