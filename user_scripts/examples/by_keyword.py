from alarm_text import value


def onEMail(mail):
    if not mail.is_from("@leitstelle.example"):
        return mail.ignore("not from the control centre")
    keyword = value(mail.text, "Stichwort")
    # A keyword that is not in the table is an alarm, too.
    level = tables("keywords").get(keyword, "level") or "alarm"
    notify.all(f"{keyword} {value(mail.text, 'Adresse')}", level="info" if mail.is_test() else level)
