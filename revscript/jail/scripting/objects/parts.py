"""The small read-only parts of a mail: addresses, attachments, header lines."""

from __future__ import annotations

from typing import Any

from revscript.jail import addresses
from revscript.jail.addresses import address_key
from revscript.jail.reading import model
from revscript.jail.scripting.offers import offers


def wanted_key(wanted: Any) -> str:
    """What `is_from` compares with: an address, or "@domain"; ValueError when it is neither."""
    text = wanted.address if type(wanted) is Address else wanted
    if type(text) is not str:
        raise TypeError(f"a {type(text).__name__} was given where an address is needed")
    return addresses.wanted_key(text)


@offers("address name domain")
class Address:
    """A mail address: `.address` (empty when there is none), `.name` as shown, `.domain` in lower case.

    Equal when the addresses are, whatever name is shown; can be compared with text.
    """

    __slots__ = ("address", "domain", "name")

    def __init__(self, data: model.MailAddress | None) -> None:
        self.address = data.address if data else ""
        self.name = data.name if data else ""
        self.domain = self.address.rpartition("@")[2].rstrip(".").lower() if "@" in self.address else ""

    def __eq__(self, other: object) -> bool:
        text = other.address if type(other) is Address else other
        return type(text) is str and address_key(self.address) == address_key(text)

    def __hash__(self) -> int:
        return hash(address_key(self.address))

    def __bool__(self) -> bool:
        return bool(self.address)

    def __str__(self) -> str:
        return self.address

    def __repr__(self) -> str:
        return f"<address {self.address}>"


@offers("name original_name type declared_type size sha256 inline")
class Attachment:
    """A file in the mail. `.name` is safe as a file name, `.original_name` is as sent, `.type` is by content,
    `.declared_type` is what the mail says, `.size` in bytes, `.sha256` in hex, `.inline`: a picture inside
    the HTML.
    """

    __slots__ = ("declared_type", "index", "inline", "name", "original_name", "sha256", "size", "type")

    def __init__(self, index: int, data: model.Attachment) -> None:
        self.index = index
        self.name = data.name
        self.original_name = data.original_name
        self.type = data.type
        self.declared_type = data.declared_type
        self.size = data.size
        self.sha256 = data.sha256
        self.inline = data.inline

    def __repr__(self) -> str:
        return f"<attachment {self.name}>"


@offers("all")
class Headers:
    """The header fields by name, in any case: `headers["X-Name"]` is the first one's text, missing is ""."""

    __slots__ = ("_values",)
    __iter__ = None

    def __init__(self, fields: tuple[tuple[str, ...], ...]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in fields:
            self._values.setdefault(name.casefold(), []).append(value)

    def __getitem__(self, name: str) -> str:
        return next(iter(self.all(name)), "")

    def __contains__(self, name: str) -> bool:
        return bool(self.all(name))

    def __repr__(self) -> str:
        return "<headers>"

    def all(self, name: str) -> tuple[str, ...]:
        """The texts of all fields with this name, in the mail's order."""
        if type(name) is not str:
            raise TypeError(f"a {type(name).__name__} was given where a header's name is needed")
        return tuple(self._values.get(name.casefold(), ()))
