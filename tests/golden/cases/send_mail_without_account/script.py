def onEMail(mail):
    documents.incoming(mail, priority="sofort")
    send_mail(mail.sender, "Eingegangen", "Danke.", in_reply_to=mail)
