"""From files to the next snapshot: what is broken or gone for a moment keeps its last good version."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType

from revscript.config import Account, Finding, Settings
from revscript.config.cross import review_together, same_mailbox
from revscript.model import canonical_json, sha256_hex
from revscript.snapshot.files import Files
from revscript.snapshot.model import Assembled, Script, Snapshot, alone

STAYS = "; the last good version stays in force"


def compose(files: Files, assembled: Assembled, before: Snapshot | None = None) -> Snapshot:
    """The next snapshot; `before` is the one in force, whose good versions outlive broken files."""
    accounts, scripts, settings = dict(files.accounts), dict(assembled.scripts), files.settings
    findings = [*files.findings, *assembled.findings]
    if before:
        findings = _keep_accounts(accounts, before, findings)
        findings += _keep_scripts(scripts, accounts, before, files, assembled)
        if settings is None:
            settings, findings = before.settings, _stay(findings, "settings.json")
    else:
        findings += _unique(one for refused in assembled.refused.values() for one in refused)
    refused = {name: text for name, text in files.texts.items() if name in assembled.refused and name not in scripts}
    scripts.update(alone(refused).scripts)
    accounts, twins = _apart(accounts, before)
    findings += twins
    findings += _none_enabled(accounts, findings)
    findings += _script_files(accounts, scripts, before, findings)
    if settings:
        findings += review_together(settings, accounts)
    settings = settings or Settings()
    return Snapshot(
        MappingProxyType(accounts),
        settings,
        MappingProxyType(scripts),
        tuple(findings),
        _digest(accounts, settings, scripts),
        frozenset(refused),
    )


# ---------------------------------------------------------------- the last good version


def _stay(findings: Sequence[Finding], *files: str) -> list[Finding]:
    """Errors of files of which the last good version stays in force say so."""
    return [
        replace(one, text=one.text + STAYS) if one.severity == "error" and one.file in files else one
        for one in findings
    ]


def _wrong(findings: Sequence[Finding]) -> set[str]:
    return {one.file for one in findings if one.severity == "error"}


def _unique(findings: Iterable[Finding]) -> list[Finding]:
    """Several scripts may be refused because of one library."""
    return list(dict.fromkeys(findings))


def _keep_accounts(accounts: dict[str, Account], before: Snapshot, findings: list[Finding]) -> list[Finding]:
    """A file that is gone is no account any more; one that is broken, or whose folder is gone, still is one."""
    wrong = _wrong(findings)
    kept = [name for name in before.accounts if name not in accounts]
    if "accounts" not in wrong:
        kept = [name for name in kept if f"accounts/{name}.json" in wrong]
    accounts.update({name: before.accounts[name] for name in kept})
    return _stay(findings, "accounts", *(f"accounts/{name}.json" for name in kept))


def _apart(accounts: dict[str, Account], before: Snapshot | None) -> tuple[dict[str, Account], list[Finding]]:
    """No two accounts on one mailbox: those in force were there first."""
    known: Mapping[str, Account] = before.accounts if before else {}
    first = dict(sorted(accounts.items(), key=lambda one: (known.get(one[0]) != one[1], one[0])))
    findings = same_mailbox(first, "accounts")
    taken = {mailbox for one in first.values() if one.enabled for mailbox in one.mailboxes()}
    for name in accounts.keys() - first.keys():
        old = known.get(name)
        if old and taken.isdisjoint(old.mailboxes()):
            first[name] = old
            findings = _stay(findings, f"accounts/{name}.json")
    return dict(sorted(first.items())), findings


def _keep_scripts(
    scripts: dict[str, Script], accounts: Mapping[str, Account], before: Snapshot, files: Files, assembled: Assembled
) -> list[Finding]:
    """A script that is refused, or gone although an account runs it, stays as it was, with libraries and tables."""
    findings: list[Finding] = []
    unreadable = _wrong(files.findings)
    good = before.scripts.keys() - before.refused
    for name, refused in assembled.refused.items():
        findings += _stay(refused, *_wrong(refused)) if name in good else refused
    gone = {name for name in good if name not in scripts and name not in assembled.refused}
    for name in sorted(gone & _needed(accounts)):
        if f"user_scripts/{name}" not in unreadable:
            text = f"is gone, although an account runs it{STAYS} until the host ends: put it back"
            findings.append(Finding(f"user_scripts/{name}", "", "", text))
    kept = gone & _needed(accounts) | good & assembled.refused.keys()
    scripts.update({name: before.scripts[name] for name in kept})
    return _unique(findings)


def _needed(accounts: Mapping[str, Account]) -> set[str]:
    return {one.methods.script.file for one in accounts.values() if one.enabled and one.methods.script}


# ---------------------------------------------------------------- one file against the others


def _none_enabled(accounts: Mapping[str, Account], findings: Sequence[Finding]) -> Iterator[Finding]:
    # An account with an error may be an enabled one: then the error is what there is to say.
    if not accounts or any(account.enabled for account in accounts.values()):
        return
    if not any(one.severity == "error" and one.file.startswith("accounts") for one in findings):
        text = 'no account is enabled: set "enabled": true in accounts/NAME.json'
        yield Finding("accounts", "", "", text, "warning")


def _script_files(
    accounts: dict[str, Account], scripts: Mapping[str, Script], before: Snapshot | None, findings: Sequence[Finding]
) -> Iterator[Finding]:
    """An account whose script is not there: a slip of the keyboard, which must not cost an alarm."""
    wrong = _wrong(findings)
    for name, account in list(accounts.items()):
        method = account.methods.script
        if not account.enabled or not method or method.file in scripts or f"user_scripts/{method.file}" in wrong:
            continue
        text = f"there is no script user_scripts/{method.file}{_meant(method.file, scripts)}"
        old = before.accounts.get(name) if before else None
        if old and old.enabled and old.methods.script and old.methods.script.file in scripts:
            accounts[name] = old
            text += STAYS
        else:
            text += "; its mails go into quarantine"
        yield Finding(f"accounts/{name}.json", "methods.script.file", f'"{method.file}"', text)


def _meant(file: str, scripts: Mapping[str, Script]) -> str:
    names = {Path(name).stem.lower(): name for name in scripts}
    close = get_close_matches(Path(file).stem.lower(), names, 1)
    return f'; did you mean "{names[close[0]]}"?' if close else ""


def _digest(accounts: Mapping[str, Account], settings: Settings, scripts: Mapping[str, Script]) -> str:
    content = {
        "accounts": {name: account.model_dump(mode="json") for name, account in accounts.items()},
        "settings": settings.model_dump(mode="json"),
        "scripts": {name: script.sha256 for name, script in scripts.items()},
    }
    return sha256_hex(canonical_json(content))
