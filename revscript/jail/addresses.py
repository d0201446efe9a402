"""Comparing mail addresses: one rule for `mail.is_from` in scripts and for an account's `allowed_senders`.

SECURITY: a From header is the sender's word and can be forged; the comparison makes sure of no more than that nothing
but the address counts, and that no second From address slips in beside a good one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_DOMAIN = re.compile(r"[^\s@:,;<>()\[\]]+")


def domain_key(domain: str) -> str:
    """A domain for comparing: lower case, its A-label form where there is one (RFC 5890 §2.3.2.1)."""
    domain = domain.rstrip(".").lower()
    try:
        label = domain.encode("idna")
        # The codec is the old one: it takes ß for ss, which are two domains today (RFC 5894 §7.2).
        return label.decode("ascii") if label.decode("idna") == domain else domain
    except UnicodeError:
        return domain


def address_key(address: str) -> str:
    """An address for comparing. Local parts are folded too: nobody tells Leitstelle@ from leitstelle@."""
    local, _, domain = address.rpartition("@")
    return f"{local.casefold()}@{domain_key(domain)}"


def wanted_key(wanted: str) -> str:
    """An address or "@domain" that addresses are compared with; ValueError when it is neither."""
    local, at, domain = wanted.strip().rpartition("@")
    if not at or not _DOMAIN.fullmatch(domain) or "@" in local:
        raise ValueError(f"{wanted!r} is neither an address nor a domain with @ in front")
    return address_key(wanted.strip())


def all_wanted(addresses: Iterable[str], wanted: Iterable[str]) -> bool:
    """Whether there are addresses, and each of them or its domain is among the `wanted` keys (`wanted_key`)."""
    keys, found = frozenset(wanted), list(addresses)
    return bool(found) and all(_is_wanted(address, keys) for address in found)


def _is_wanted(address: str, keys: frozenset[str]) -> bool:
    _, at, domain = address.rpartition("@")
    # Without a domain there is nothing to compare: "@" would be the key of every broken address.
    return bool(at and domain.strip(".")) and not keys.isdisjoint({address_key(address), f"@{domain_key(domain)}"})
