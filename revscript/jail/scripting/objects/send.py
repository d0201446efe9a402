"""`send_mail`: mail that leaves through the outbox."""

from __future__ import annotations

from typing import Any

from revscript.jail.effects import SendMail, TextFile
from revscript.jail.scripting.objects.desk import Desk, as_tuple
from revscript.jail.scripting.objects.mail import Mail
from revscript.jail.scripting.objects.parts import Address, Attachment
from revscript.jail.scripting.offers import kind_of


class Outbox:
    """Scripts get its one method."""

    __slots__ = ("_desk",)

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def __repr__(self) -> str:
        return "<outbox>"

    def send_mail(
        self,
        to: Any,
        subject: str,
        text: str,
        *,
        html: str | None = None,
        cc: Any = (),
        attachments: Any = (),
        in_reply_to: Any = None,
        account: str | None = None,
        key: str | None = None,
    ) -> None:
        """Send a mail, once, whatever happens to this run.

        `to` and `cc` are one address or a list. `attachments` are those of the mail, or (name, text) for a
        file written here. `in_reply_to` is the mail that is answered, or a message id. `account` names the
        account that sends; without one it is the mail's own, else the default sender. The same `key` within
        one mail sends once.
        """
        recipients, copies = _recipients("to", to), _recipients("cc", cc)
        if not recipients:
            raise ValueError("to: the mail has no recipient")
        indexes, files = self._files(attachments)
        shown = self._desk.shown
        self._desk.emit(
            SendMail(
                to=recipients,
                cc=copies,
                subject=shown(SendMail, "subject", subject),
                text=shown(SendMail, "text", text),
                html=shown(SendMail, "html", html),
                attachments=indexes,
                files=files,
                in_reply_to=(in_reply_to.message_id or None) if type(in_reply_to) is Mail else in_reply_to,
                account=account,
                key=key,
            )
        )

    def _files(self, attachments: Any) -> tuple[tuple[int, ...], tuple[TextFile, ...]]:
        if type(attachments) is Mail:
            return self._desk.indexes(True), ()
        given: tuple[Any, ...]
        if type(attachments) is Attachment or _is_written(attachments):
            given = (attachments,)
        else:
            given = as_tuple("attachments", attachments)
        files = tuple(self._file(item) for item in given if kind_of(item) is tuple)
        return self._desk.indexes([item for item in given if kind_of(item) is not tuple]), files

    def _file(self, item: tuple[Any, ...]) -> TextFile:
        if len(item) != 2:
            raise ValueError("attachments: give (name, text) for a file written here")
        name, text = item
        # Never cut: half a table is a wrong table. Line ends are the mail's own matter.
        lines = text.replace("\r\n", "\n") if type(text) is str else text
        return TextFile(name=self._desk.shown(TextFile, "name", name), text=lines)


def _is_written(value: Any) -> bool:
    return kind_of(value) is tuple and len(value) == 2 and kind_of(value[0]) is str


def _recipients(field: str, value: Any) -> tuple[Any, ...]:
    alone = type(value) in (str, Address)
    given = (value,) if alone else as_tuple(field, value)
    return tuple(item.address if type(item) is Address else item for item in given)
