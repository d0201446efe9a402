def onEMail(mail):
    documents.incoming(
        mail,
        subject="Deich km 12: Sickerwasser",
        priority="sofort",
        sender_unit="Deichwache 3",
        addressee="S3",
        distribution=["S2", "S3"],
        attachments=False,
    )
