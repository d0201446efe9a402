"""Which parts are the text, which the HTML, which are files: RFC 8621 §4.1.4, and one step further.

The RFC shows pictures, sound and film between texts as part of the body. Here they are files all the same:
the mission's folder must not miss a photo because a telephone put it between two paragraphs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from revscript.jail.reading.clean import Defects
from revscript.jail.reading.parts import MAX_DEPTH, Part, walk

_MEDIA = ("image/", "audio/", "video/")


@dataclass(slots=True)
class Structure:
    """Leaves in the mail's order. `related` holds the ids of the leaves that lie in a multipart/related."""

    text: list[Part] = field(default_factory=list[Part])
    html: list[Part] = field(default_factory=list[Part])
    files: list[Part] = field(default_factory=list[Part])
    related: set[int] = field(default_factory=set[int])


def choose(root: Part, defects: Defects) -> Structure:
    """Sort the leaves of a mail; depends on header fields only, so that indexes are the same each time."""
    chooser = _Chooser(defects)
    chooser.visit([root], "mixed", alternative=False, related=False)
    result = chooser.structure
    result.text = chooser.text or []
    result.html = chooser.html or []
    shown = {id(part) for part in result.text + result.html if kind(part).startswith("text/")}
    result.files = [part for part in walk(root) if id(part) in chooser.leaves and id(part) not in shown]
    return result


def kind(part: Part) -> str:
    """The declared type of a leaf; a multipart without structure is text, one at the depth limit a file."""
    value = part.kind.value
    if not value.startswith("multipart/"):
        return value
    return "application/octet-stream" if part.depth >= MAX_DEPTH else "text/plain"


def name(part: Part) -> str:
    """The file name as sent: Content-Disposition's `filename`, else Content-Type's `name` (RFC 2183 §2.3)."""
    return part.disposition.params.get("filename") or part.kind.params.get("name", "")


class _Chooser:
    """The RFC's `parseStructure`; `text` or `html` is None while an alternative has no such branch."""

    def __init__(self, defects: Defects) -> None:
        self.structure = Structure()
        self.text: list[Part] | None = []
        self.html: list[Part] | None = []
        self.leaves: set[int] = set()
        self._defects = defects

    def visit(self, parts: list[Part], multipart: str, *, alternative: bool, related: bool) -> None:
        texts, htmls = len(self.text or ()), len(self.html or ())
        for index, part in enumerate(parts):
            if part.children:
                self._descend(part, alternative=alternative, related=related)
                continue
            self.leaves.add(id(part))
            if related:
                self.structure.related.add(id(part))
            if self._shown(part, index, multipart):
                self._show(part, multipart, alternative=alternative)
        if multipart == "alternative" and self.text is not None and self.html is not None:
            if len(self.text) == texts and len(self.html) != htmls:
                self.text += self.html[htmls:]
            elif len(self.html) == htmls and len(self.text) != texts:
                self.html += self.text[texts:]

    def _descend(self, part: Part, *, alternative: bool, related: bool) -> None:
        subtype = part.kind.value.partition("/")[2]
        text, html = self.text, self.html
        inside = alternative or subtype == "alternative"
        self.visit(part.children, subtype, alternative=inside, related=related or subtype == "related")
        self.text, self.html = text, html  # a branch switches text or HTML off for itself only

    def _shown(self, part: Part, index: int, multipart: str) -> bool:
        declared = kind(part)
        media = declared.startswith(_MEDIA)
        if part.disposition.value == "attachment" or not (declared in ("text/plain", "text/html") or media):
            return False
        return index == 0 or (multipart != "related" and (media or not name(part)))

    def _show(self, part: Part, multipart: str, *, alternative: bool) -> None:
        declared = kind(part)
        if multipart == "alternative":
            target = {"text/plain": self.text, "text/html": self.html}.get(declared)
            if target is not None:
                target.append(part)
            return
        if alternative and declared == "text/plain":
            self.html = None
        elif alternative and declared == "text/html":
            self.text = None
        for target in (self.text, self.html):
            if target is not None:
                target.append(part)
