def onEMail(mail):
    if mail.is_list:
        mail.ignore(f"Rundschreiben von {mail.sender.domain}")
