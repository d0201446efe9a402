def onEMail(mail):
    form = documents.incoming(mail, priority="sofort", text="Sickerwasser bei km 12.")
    log(form.number, form.priority, form.subject)
