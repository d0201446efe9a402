def onEMail(mail):
    form = documents.incoming(
        mail, key="Lage Deich", priority="sofort" if "4,6" in mail.text else "einfach", distribution=["S4"]
    )
    log(form.number, form.state, form.priority)
