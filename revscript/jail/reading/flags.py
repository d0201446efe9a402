"""Automatic mail: replies, bounces, lists (RFC 3834, RFC 3464, RFC 2369, RFC 2919; mime.md §5)."""

from __future__ import annotations

from revscript.jail.reading.headers import Headers
from revscript.jail.reading.params import Field, token

_REPLY_MARKS = frozenset({"x-autoreply", "x-autorespond", "x-auto-response", "x-mail-autoreply"})
_LIST_MARKS = frozenset({"list-id", "list-post", "list-unsubscribe", "list-help", "list-subscribe", "mailing-list"})


def find(headers: Headers, kind: Field) -> dict[str, bool]:
    """`is_auto_reply`, `is_bounce`, `is_list` of a mail by its head; `kind` is the Content-Type of the whole.

    `auto-generated` alone is no reply: alarm systems and monitors mark their mails so, and those must not be
    taken for an absence notice. Who answers automatically must look at Auto-Submitted itself (RFC 3834 §2).
    """
    bounce = _is_bounce(headers, kind)
    return {
        "is_auto_reply": not bounce and _is_reply(headers),
        "is_bounce": bounce,
        "is_list": not headers.names().isdisjoint(_LIST_MARKS) or _word(headers, "precedence") == "list",
    }


def _is_reply(headers: Headers) -> bool:
    submitted = _word(headers, "auto-submitted")
    if submitted == "auto-generated":  # Exchange's absence notices say so too, but they name what they answer
        return headers.has("x-auto-response-suppress") and headers.has("in-reply-to")
    marked = not headers.names().isdisjoint(_REPLY_MARKS)
    return marked or submitted == "auto-replied" or _word(headers, "precedence") == "auto_reply"


def _is_bounce(headers: Headers, kind: Field) -> bool:
    if kind.value == "multipart/report" and kind.params.get("report-type", "").lower() == "delivery-status":
        return True
    if headers.has("x-failed-recipients") or "mailer-daemon" in headers.raw("from").lower():
        return True
    # Absence notices have a null return path as well.
    return headers.raw("return-path").strip() == "<>" and not _is_reply(headers)


def _word(headers: Headers, name: str) -> str:
    return token(headers.raw(name).partition(";")[0]).lower()
