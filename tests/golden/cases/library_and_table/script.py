from radio import spoken

def onEMail(mail):
    for line in mail.text.splitlines():
        name, _, value = line.partition(": ")
        if name == "Fahrzeuge":
            notify.all("; ".join(spoken(unit) for unit in value.split(", ")), level="alarm")
