def onEMail(mail):
    notify.role("S2", f"Pegel {level(mail)} m", level="important")


def level(mail):
    log(mail.text)
    return float(mail.search(r"Pegel: (.*)").group(1))
