"""What two snapshots differ in, for the log and for those who must act on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel

from revscript.config import Account
from revscript.snapshot import Script, Snapshot

MOST_WORDS = 20  # of one reload, in the log

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Changes:
    """Names of what is new, gone or different. `settings` are the settings' first keys."""

    added: frozenset[str] = frozenset()
    removed: frozenset[str] = frozenset()
    changed: frozenset[str] = frozenset()
    scripts: frozenset[str] = frozenset()
    settings: frozenset[str] = frozenset()
    words: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything changed that counts; findings alone do not."""
        return bool(self.added or self.removed or self.changed or self.scripts or self.settings)


def changes(before: Snapshot, after: Snapshot) -> Changes:
    """Compare by content: a file that was only touched is no change."""
    old, new = before.accounts, after.accounts
    both = old.keys() & new.keys()
    scripts = {name for name in after.scripts if _sha(before, name) != _sha(after, name)}
    return Changes(
        added=frozenset(new.keys() - old.keys()),
        removed=frozenset(old.keys() - new.keys()),
        changed=frozenset(name for name in both if old[name] != new[name]),
        scripts=frozenset(scripts),
        settings=frozenset(_different(before.settings, after.settings)),
        words=tuple(_words(before, after)),
    )


def _sha(snapshot: Snapshot, name: str) -> str | None:
    script = snapshot.scripts.get(name)
    return script.sha256 if script else None


def _different(old: BaseModel, new: BaseModel) -> Iterator[str]:
    """The fields that differ; never their values: a password may be among them."""
    for name in type(new).model_fields:
        if type(old) is not type(new) or getattr(old, name) != getattr(new, name):
            yield name


def _words(before: Snapshot, after: Snapshot) -> list[str]:
    said = [*_named("account", before.accounts, after.accounts, _account)]
    said += _named("script", before.scripts, after.scripts, _script)
    if fields := sorted(_different(before.settings, after.settings)):
        said.append(f"settings changed: {', '.join(fields)}")
    more = len(said) - MOST_WORDS
    return [*said[:MOST_WORDS], *([f"and {more} more"] if more > 0 else [])]


def _named(kind: str, old: Mapping[str, T], new: Mapping[str, T], what: Callable[[T, T], str]) -> Iterator[str]:
    for name in sorted(old.keys() | new.keys()):
        if name not in old:
            yield f"{kind} {name} new"
        elif name not in new:
            yield f"{kind} {name} gone"
        elif old[name] != new[name]:
            yield f"{kind} {name} changed: {what(old[name], new[name])}"


def _script(old: Script, new: Script) -> str:
    return f"{old.sha256[:8]} → {new.sha256[:8]}"


def _account(old: Account, new: Account) -> str:
    fields: list[str] = []
    for name in _different(old, new):
        ours, theirs = getattr(old, name), getattr(new, name)
        if isinstance(theirs, BaseModel) and type(ours) is type(theirs):
            fields += [f"{name}.{below}" for below in _different(ours, theirs)]
        else:
            fields.append(name)
    return ", ".join(sorted(fields))
