def onEMail(mail):
    if mail.is_auto_reply:
        mail.ignore("automatische Antwort")
    else:
        send_mail(mail.sender, "Eingegangen", "Danke.", in_reply_to=mail)
