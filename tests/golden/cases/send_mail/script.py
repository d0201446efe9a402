def onEMail(mail):
    send_mail(
        mail.sender,
        f"Eingegangen: {mail.subject}",
        "Ihre Anforderung liegt dem Stab vor.",
        cc=["s1@fuest.example"],
        attachments=[*mail.attachments, ("bestätigung.txt", "eingegangen")],
        in_reply_to=mail,
    )
    send_mail("s3@fuest.example", "Zur Kenntnis", mail.text, key="kenntnis")
    send_mail("s3@fuest.example", "Zur Kenntnis, noch einmal", mail.text, key="kenntnis")
