def onEMail(mail):
    log("nichts zu tun für", mail.sender)
