"""Whole ways of invented mails: a case's mails, account and script → what a command post has afterwards.

`cases/NAME/` holds the mails in their order (`mail.eml`, or `mail-1.eml`, `mail-2.eml` …) and what came of them
(`outcome.json`). Optional:

* `account.json`: what matters of the account, laid over `files.ACCOUNT`
* `settings.json`: likewise, laid over `files.SETTINGS`
* `script.py`: the account's script; without it, it is the one that is delivered (`user_scripts/onEMail.py`)
* `beside/`: libraries of the script, and its `tables/`
* `case.json`: what a mail server and people do, see `files.Story`

`make golden` rewrites the outcomes; the diff is the review.
"""
