def onEMail(mail):
    more = "Folgealarm" in mail.subject
    mission, change = missions.upsert(
        "E 26 990007",
        title="Lagerhalle",
        keyword="B 4" if more else "B 3",
        address="Beispielweg 7, Musterstadt",
        position=(50.1, 9.2) if more else None,
        units=["MUS 1/44", "MUS 1/33"] if more else ["MUS 1/44"],
    )
    log(change.created, change.fields, change)
    again, nothing = missions.upsert("E 26 990007", keyword=mission.keyword)
    log(bool(nothing), nothing, again.fields["units"])
