"""The mission folder and the unassigned tray."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from revscript.jail.effects import AddToFolder, MissionFields, MissionKind, UpsertMission
from revscript.store.record_tables import folder_item, mission, notice
from revscript.store.schema import blob
from tests.records.kit import MINUTE, NOW, SCRIPT, Post

FOLDER = "method:mission_folder"


def open_mission(post: Post, number: str, kind: MissionKind = "real") -> None:
    post.commit(UpsertMission(number=number, kind=kind, fields=MissionFields()), by="user:mue")


def add(post: Post, *files: tuple[str, bytes]) -> str:
    """A mail with these files, for the mission folder."""
    indexes = tuple(range(len(files)))
    return post.commit(AddToFolder(attachments=indexes), by=FOLDER, mail=post.mail(files=files)).targets[0]


def names(post: Post) -> list[str]:
    return [row.name for row in post.rows(folder_item)]


def test_a_file_in_the_running_missions_folder(post: Post) -> None:
    open_mission(post, "1")
    mail = post.mail(files=[("logo.png", b"logo"), ("fax.pdf", b"fax")])
    post.commit(AddToFolder(attachments=(1,), tags=("Fax", "Alarm")), by=FOLDER, mail=mail)
    (item,) = post.rows(folder_item)
    assert (item.mission_id, item.name, item.original_name, item.type) == (1, "fax.pdf", "fax.pdf", "application/pdf")
    assert (item.tags, item.why, item.by, item.mail_id) == (
        ["Fax", "Alarm"],
        "the only running mission",
        FOLDER,
        mail.id,
    )
    assert post.stores.blobs.content(item.blob_id) == b"fax"


def test_the_mission_that_the_script_names(post: Post) -> None:
    open_mission(post, "1")
    new = UpsertMission(number="2", fields=MissionFields())
    mail = post.mail(files=[("fax.pdf", b"fax")])
    assert post.commit(new, AddToFolder(mission="effect:0", attachments=(0,)), mail=mail).targets[1] == "mission:2"
    (item,) = post.rows(folder_item)
    assert (item.mission_id, item.why, item.by) == (2, "named by the script", SCRIPT)


# ---------------------------------------------------------------- which mission


@pytest.mark.parametrize(
    ("kinds", "lead", "where", "why"),
    [
        ([], None, None, "no real mission runs"),
        (["exercise", "planned", "medical_standby"], None, None, "no real mission runs"),
        (["real"], None, 1, "the only running mission"),
        (["exercise", "real"], None, 2, "the only running mission"),
        (["real", "real"], None, None, "several missions run, none is the main one"),
        (["real", "real"], 2, 2, "the main mission"),
    ],
)
def test_which_mission_is_never_a_guess(
    post: Post, kinds: list[MissionKind], lead: int | None, where: int | None, why: str
) -> None:
    for number, kind in enumerate(kinds, start=1):
        open_mission(post, str(number), kind)
    with post.stores.database.write() as tx:
        tx.execute(update(mission).where(mission.c.id == lead).values(lead=True))
    assert add(post, ("fax.pdf", b"fax")) == (f"mission:{where}" if where else "tray")
    (item,) = post.rows(folder_item)
    assert (item.mission_id, item.why) == (where, why)


def test_a_closed_mission_does_not_count(post: Post) -> None:
    open_mission(post, "1")
    open_mission(post, "2")
    with post.stores.database.write() as tx:
        tx.execute(update(mission).where(mission.c.id == 1).values(state="closed"))
    assert add(post, ("fax.pdf", b"fax")) == "mission:2"


# ---------------------------------------------------------------- names


@pytest.mark.parametrize("running", [True, False])
def test_the_same_name_with_other_content_gets_a_number(post: Post, running: bool) -> None:
    if running:
        open_mission(post, "1")
    for content in (b"one", b"two", b"three"):
        add(post, ("fax.pdf", content))
    add(post, ("fax (2).pdf", b"four"))
    add(post, ("fax (4).pdf", b"five"))
    add(post, ("fax.pdf", b"six"))
    add(post, ("README", b"seven"), ("README", b"eight"))
    assert names(post) == [
        "fax.pdf",
        "fax (2).pdf",
        "fax (3).pdf",
        "fax (2) (2).pdf",
        "fax (4).pdf",
        "fax (5).pdf",
        "README",
        "README (2)",
    ]
    assert post.rows(folder_item)[1].original_name == "fax.pdf"


@pytest.mark.parametrize("running", [True, False])
def test_the_same_content_under_the_same_name_is_there_once(post: Post, running: bool) -> None:
    if running:
        open_mission(post, "1")
    add(post, ("fax.pdf", b"one"), ("fax.pdf", b"two"))
    add(post, ("fax.pdf", b"two"), ("fax.pdf", b"one"))
    assert names(post) == ["fax.pdf", "fax (2).pdf"]
    add(post, ("plan.pdf", b"one"))  # another name is another item, and the same blob
    assert names(post) == ["fax.pdf", "fax (2).pdf", "plan.pdf"]
    assert len({row.blob_id for row in post.rows(folder_item)}) == 2
    assert len(post.rows(blob)) == 3  # with the mails' own, which are all alike


def test_folders_do_not_share_names(post: Post) -> None:
    add(post, ("fax.pdf", b"one"))
    open_mission(post, "1")
    add(post, ("fax.pdf", b"two"))
    assert [(row.mission_id, row.name) for row in post.rows(folder_item)] == [(None, "fax.pdf"), (1, "fax.pdf")]


# ---------------------------------------------------------------- the tray


def test_what_waits_in_the_tray_is_told_by_one_notice(post: Post) -> None:
    add(post, ("a.pdf", b"a"), ("b.pdf", b"b"))
    add(post, ("c.pdf", b"c"))
    (told,) = post.rows(notice)
    assert (told.audience, told.level, told.updates) == ("all", "important", 1)
    assert told.text.startswith("3 files wait in the unassigned tray")


def test_nothing_to_file_is_nothing_to_tell(post: Post) -> None:
    assert add(post) == "tray"
    assert post.rows(notice) == []
    open_mission(post, "1")
    add(post, ("a.pdf", b"a"))
    assert post.rows(notice) == []


def test_time_of_the_item_is_the_runs(post: Post) -> None:
    mail = post.mail(NOW - MINUTE, files=[("a.pdf", b"a")])
    post.commit(AddToFolder(attachments=(0,)), mail=mail, now=NOW + MINUTE)
    assert post.rows(folder_item)[0].at == NOW + MINUTE
