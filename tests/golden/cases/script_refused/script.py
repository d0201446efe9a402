import os


def onEMail(mail):
    documents.incoming(mail)
    mail._desk.context = None
    open("/etc/passwd")
