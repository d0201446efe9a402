"""Every error of revscript.

    RevscriptError
    ├─ ConfigError                 a file of the instance is wrong: file, place, value, way out
    ├─ SourceError                 a mailbox cannot be worked
    │  ├─ Unreachable              back off and try again
    │  ├─ AuthFailed               a person must act: shout
    │  └─ Downgrade                the server offers less protection than demanded: never connect
    ├─ JailBroken                  ours, not the script's: try again
    ├─ EffectRefused               an effect that this account may not have, or a malformed one
    ├─ DeliveryFailed              an act did not reach the world; `.permanent` decides about another try
    └─ StoreError                  the database
       └─ Unstorable               … refuses this data: another try will not help

`inbound/` adds kinds of SourceError that only its watcher tells apart (`Refused`, `Vanished`, `Throttled`).

A class's docstring is its default message. `str(error)` is for the administrator and names what to do;
`.hint` adds more. A library's exceptions are translated in the file that imports the library.
"""

from __future__ import annotations


class RevscriptError(Exception):
    """Something went wrong in revscript."""

    def __init__(self, message: str | None = None, *, hint: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())
        self.hint = hint


class ConfigError(RevscriptError):
    """The configuration is wrong."""


class SourceError(RevscriptError):
    """The mailbox cannot be worked."""


class Unreachable(SourceError):
    """The mail server does not answer."""


class AuthFailed(SourceError):
    """The mail server refused the login."""


class Downgrade(SourceError):
    """The server offers less protection than this account demands."""


class JailBroken(RevscriptError):
    """The confined process could not be started or died for no fault of the script."""


class EffectRefused(RevscriptError):
    """An effect was refused."""


class DeliveryFailed(RevscriptError):
    """The message could not be delivered."""

    def __init__(self, message: str | None = None, *, permanent: bool = False, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.permanent = permanent


class StoreError(RevscriptError):
    """The database cannot be used."""


class Unstorable(StoreError):
    """The database refuses this data."""
