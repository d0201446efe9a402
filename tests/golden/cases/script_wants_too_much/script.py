def onEMail(mail):
    for number in range(1000):
        mail.label(f"Wort {number}")
