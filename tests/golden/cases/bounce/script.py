def onEMail(mail):
    log("Rückläufer" if mail.is_bounce else "Post", mail.is_auto_reply)
    if mail.is_bounce:
        mail.label("unzustellbar")
        documents.incoming(mail, distribution=["S6"])
