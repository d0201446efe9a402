"""Whether reality is what the story says: asked of the store and of the mail server, never assumed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from revscript.demo.mailserver import MailServer
from revscript.demo.story import SCENES, STAYS, Scene
from revscript.host import Host
from revscript.store import views

MOST = 1000  # rows of a view
NUMBER = "E 26 004711"

Mail = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Check:
    """Something that must be true; `seen` is what was found where it is not."""

    what: str
    fine: bool
    seen: str = ""


def the_mails(host: Host, ids: Sequence[int]) -> list[Mail]:
    """All that the store knows of these mails."""
    found = (views.one_mail(host.stores.database, mail_id) for mail_id in ids)
    return [mail for mail in found if mail is not None]


def check_all(host: Host, server: MailServer, mails: Sequence[Mail]) -> Iterator[Check]:
    """Every mail, then the whole. `mails` are those of the story, in its order."""
    yield _equal("all mails have come in", len(mails), len(SCENES))
    for scene, mail in zip(SCENES, mails, strict=False):
        wrong = list(differences(scene, mail))
        yield Check(f"mail {mail['id']}: {scene.title}", not wrong, "; ".join(wrong))
    yield from _notices(host)
    yield from _missions(host)
    yield from _forms(host, mails)
    yield from _sending(host, server)
    yield from _servers_view(server)
    problems = [one.problem.key.partition(":")[0] for one in host.problems.standing()]
    yield _equal("one problem is open, the mail in quarantine", problems, ["quarantine"])


def differences(scene: Scene, mail: Mail) -> Iterator[str]:
    """What of a mail is not as its scene says."""
    tasks = {task["method"]: task for task in mail["tasks"]}
    exits = {method: task["exit"] for method, task in tasks.items()}
    if exits != scene.exits:
        yield f"exits are {exits}"
    if tasks["script"]["attempts"] != scene.tries:
        yield f"the script was tried {tasks['script']['attempts']} times"
    states = {task["state"] for task in mail["tasks"]}
    if states != ({"done", "quarantined"} if scene.settled == STAYS else {"done"}):
        yield f"tasks are {states}"
    if (mail["settled_by"] or STAYS) != scene.settled:
        yield f"settled as {mail['settled_by']}"
    done = [one["words"] for one in mail["applied"]]
    for wanted in scene.effects:
        if not any(wanted in words for words in done):
            yield f"missing: {wanted}"


def _notices(host: Host) -> Iterator[Check]:
    notices = views.notices(host.stores.database, MOST)
    alarms = [one["updates"] for one in notices if one["level"] == "alarm"]
    yield _equal("the alarm that came twice was one alarm notice", alarms, [0])
    lowered = [one["level"] for one in notices if one["wished_level"] == "alarm" and one["level"] != "alarm"]
    yield _equal("the late alarm was lowered", lowered, ["important"])
    weather = [(one["level"], one["updates"]) for one in notices if "Orkanböen" in one["text"]]
    yield _equal("warning and all-clear are one notice, renewed", weather, [("info", 1)])


def _missions(host: Host) -> Iterator[Check]:
    missions = {one["number"]: one for one in views.missions(host.stores.database, MOST)}
    yield _equal("two missions: the real one and the test", sorted(missions), [NUMBER, "P 26 000042"])
    real = missions.get(NUMBER, {})
    yield _equal("the late mail has not undone the keyword", real.get("keyword"), "B 4")
    yield _equal("both attachments lie in the mission's folder", real.get("folder"), 2)


def _forms(host: Host, mails: Sequence[Mail]) -> Iterator[Check]:
    about = [mail["id"] for mail in mails if any(f"mission {NUMBER}: " in one["words"] for one in mail["applied"])]
    shared = [one["mails"] for one in views.forms(host.stores.database, MOST) if len(one["mails"]) > 1]
    yield _equal("the mails about the mission share one message form", shared, [about])


def _sending(host: Host, server: MailServer) -> Iterator[Check]:
    acts = [one["state"] for one in views.outbox(host.stores.database, MOST)]
    yield _equal("both answers are sent, nothing waits", acts, ["sent", "sent"])
    wanted = ["fachberater@thw-musterstadt.example", "leitwarte@wasserwerk.example"]
    arrived = sorted(address for one in server.sent for address in one.recipients)
    yield _equal("and have arrived outside, once each", arrived, wanted)


def _servers_view(server: MailServer) -> Iterator[Check]:
    yield _equal("on the server, the control centre's mails are read", server.folders("leitstelle"), {"INBOX": (5, 0)})
    staff = server.folders("stab")
    yield _equal("the mail in quarantine lies unread in its inbox", staff.get("INBOX"), (1, 1))
    yield _equal("the staff's other mails are moved", staff.get("Erledigt", (0, 0))[0], 4)
    yield _equal("the weather's mails are deleted", server.folders("wetter"), {"INBOX": (0, 0)})


def _equal(what: str, seen: object, wanted: object) -> Check:
    return Check(what, seen == wanted, "" if seen == wanted else f"{seen!r} instead of {wanted!r}")
