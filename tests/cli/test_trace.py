"""`revscript trace`: a mail's story from the database alone."""

from __future__ import annotations

from pathlib import Path

from revscript.cli.words import asked_words, effect_words
from revscript.snapshot import Instance
from revscript.store.quarantine import Quarantine, Which
from tests.cli.command import revscript
from tests.engine.kit import SCRIPT, post_in
from tests.instance import wait_until

ASKS = """\
def onEMail(mail):
    if not missions.running():
        log("keiner läuft")
    missions.upsert("4711", keyword="B 3")
    notify.all(mail.subject, level="alarm")
    send_mail("mue@thw.example", "Alarm", "x")
"""
BROKEN = 'def onEMail(mail):\n    notify.all("x")\n    raise ValueError("alt")\n'


def story(root: Path, mail: int) -> list[tuple[str, str, list[str]]]:
    rows = revscript("trace", str(mail), "--json", cwd=root).rows
    return [(row["event"], row["text"], row["lines"]) for row in rows]


def test_a_whole_life(tmp_path: Path) -> None:
    with post_in(tmp_path, script=BROKEN, tries=(0, 0.0001)) as post:
        post.receive("Müller")
        post.receive("Müller")
        post.work()
        wait_until(lambda: bool(post.work() or post.states()[1][2] == "quarantined"), 10, "the second tries")
        people = Quarantine(post.stores.database)
        people.discard(people.held(Which(mail_id=2)), by="cli:mue", why="doppelt", now=post.now())
        post.stores.intake.settled([2], "move:Erledigt", post.now())
        post.save(ASKS)
        post.engine.healing.step(post.snapshot)
        post.work()
        act = post.stores.outbox.claim("smtp:post", post.now())
        assert act
        post.stores.outbox.later(act.id, "450 busy", post.now(), None)
        act = post.stores.outbox.claim("smtp:post", post.now())
        assert act
        post.stores.outbox.sent(act.id, {"accepted": {"mue@thw.example": "250 ok"}, "refused": {}}, post.now())
        post.stores.intake.settled([1], "seen", post.now())

    told = story(tmp_path, 1)
    assert [event for event, _, _ in told] == [
        "received",
        "read",
        "tried",
        "tried",
        "healed",
        "tried",
        "committed",
        "queued",
        "sent",
        "settled",
    ]
    texts, lines = [text for _, text, _ in told], [more for _, _, more in told]
    assert texts[0].startswith("received by post, ")
    assert lines[0][0] == "from imap://post@imap.fuest.example/INBOX, no. 1"
    assert lines[1][0] == "subject 'Müller'"
    assert "script: try 2 by script:onEMail.py (" in texts[3]
    assert lines[3] == ["not done: notice (info) to all: x", "ValueError: alt (line 3)"]
    assert texts[4].startswith(f"script: run again by itself by reload:{SCRIPT}: the script has changed: ")
    assert lines[5] == [
        "asked: running missions? → none",
        "asked: mission 4711? → none",
        "log: keiner läuft",
    ]
    assert lines[6] == [
        "mission 4711: B 3 → mission 1",
        "notice (alarm) to all: Müller → notice 1",
        "mail to mue@thw.example: 'Alarm' → act 1",
    ]
    assert (texts[7], lines[7]) == ("outbox no. 1 (mail): queued for smtp:post", ["to mue@thw.example: 'Alarm'"])
    assert (texts[8], lines[8]) == ("outbox no. 1 (mail): sent, 2 tries", ["accepted mue@thw.example: 250 ok"])
    assert texts[9] == "settled: marked as read on its server"

    other = story(tmp_path, 2)
    assert other[-2:] == [
        ("discarded", "script: discarded by cli:mue: doppelt", []),
        ("settled", 'settled: moved to "Erledigt" on its server', []),
    ]


def test_a_canary_and_one_that_the_host_did_not_survive(tmp_path: Path) -> None:
    with post_in(tmp_path, script=ASKS) as post:
        post.canaries.add("1@leitstelle.example")
        post.receive("Probe")
        post.receive("Alarm")
        with post.stores.database.write() as tx:
            tx.exec_driver_sql("UPDATE task SET interruptions = 2 WHERE mail_id = 2")
        post.trying.work(1, post.snapshot, lambda: False)
        post.stores.ledger.claim(2, post.now())
        with post.engine_runs():
            pass
    assert story(tmp_path, 1)[-1] == ("done", "script: ignored, nothing was run", [])
    told = story(tmp_path, 2)
    [aside] = [text for event, text, _ in told if event == "stepped_aside"]
    assert aside == "script: stepped aside, so that other mails go first (host deaths: 3)"
    assert told[-1][1].startswith("script: waits until ")


def test_for_people(instance: Instance) -> None:
    done = revscript("trace", "2", cwd=instance.root)
    assert "2026-03-01 12:00:05  script: in quarantine; KeyError: 'Stichwort' (line 7)\n" in done.out
    assert done.out.endswith("document: waits for its turn\n")
    missing = revscript("trace", "99", cwd=instance.root)
    assert (missing.code, missing.err.splitlines()[0]) == (1, "error: There is no mail 99.")


def test_words_of_what_was_recorded() -> None:
    mission = {"ref": "mission:3", "number": "4711", "state": "running"}
    form = {"ref": "form:7", "number": 12, "state": "to_review"}
    assert asked_words({"question": {"question": "find_mission", "number": "4711"}, "answer": mission}) == (
        "mission 4711? → mission 4711 (running)"
    )
    assert asked_words({"question": {"question": "running_missions"}, "answer": [mission] * 7}).endswith(", 2 more")
    assert asked_words({"question": {"question": "find_form", "key": None}, "answer": form}) == (
        "message form of this mail? → message form no. 12 (to_review)"
    )
    assert asked_words({"question": {"question": "look_up", "table": "orte"}, "answer": {"x": 1}}) == (
        "look up (table orte)? → yes"
    )
    assert effect_words({"effect": "label_mail", "text": "x"}) == "label 'x'"
    assert effect_words({"effect": "of_tomorrow", "what": 1}) == "of_tomorrow"
