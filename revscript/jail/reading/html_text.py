"""HTML to readable text: one pass, no tree, no recursion (the standard library's parser is quadratic, mime.md
§2).

Table rows become lines with two blanks between the cells, so that "Feld" and "Wert" stay together. What a
person does not see (scripts, styles, comments, `display:none`) is dropped: a reader of fields must not see
more than a person (mime.md §6).
"""

from __future__ import annotations

import html
import re

_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]{0,20})(?=[\s/>:]|\Z)")
_TAG_MARK = re.compile(r"[>\"']")
_BLANKS = re.compile(r"[ \t\r\n\f\xa0]+")
_NUMBER = re.compile(r"&#[xX]?[0-9A-Fa-f]{9,};?")  # html.unescape raises on numbers of thousands of digits
_HIDDEN = re.compile(r"display\s{0,9}:\s{0,9}none", re.IGNORECASE)
_DROPPED = frozenset({"script", "style", "title", "template", "noframes"})
_VOID = frozenset({"img", "br", "hr", "input", "meta", "link", "col", "area", "base", "wbr", "source"})
_LINE = frozenset(
    {
        "div",
        "li",
        "tr",
        "table",
        "ul",
        "ol",
        "dl",
        "dt",
        "dd",
        "blockquote",
        "section",
        "article",
        "header",
        "footer",
        "form",
        "center",
        "address",
        "hr",
        "pre",
    }
)
_PARAGRAPH = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6"})


def to_text(source: str) -> str:
    """The visible text of an HTML document; the caller limits the length and cleans the result."""
    return _Scanner(source).run()


class _Scanner:
    def __init__(self, source: str) -> None:
        self._source = source
        self._position = 0
        self._quotes = True  # until one turns out to be never closed
        self._page = _Page()

    def run(self) -> str:
        source, page = self._source, self._page
        while self._position < len(source):
            start = source.find("<", self._position)
            start = len(source) if start < 0 else start
            page.text(source[self._position : start])
            self._position = start
            if start < len(source):
                self._markup(start)
        return page.result()

    def _markup(self, start: int) -> None:
        source = self._source
        tag = _TAG.match(source, start)
        if source.startswith("<!--", start):
            self._position = self._after("-->", start + 4)
        elif source.startswith(("<!", "<?"), start):
            self._position = self._after(">", start)
        elif tag is None:
            self._page.text("<")
            self._position = start + 1
        else:
            self._position = self._tag_end(tag.end())
            self._tag(tag[2].lower(), closing=bool(tag[1]), attributes=source[tag.end() : self._position])

    def _tag(self, name: str, *, closing: bool, attributes: str) -> None:
        if closing:
            self._page.close(name)
        elif name in _DROPPED:
            end = re.compile(f"</{name}", re.IGNORECASE).search(self._source, self._position)
            self._position = self._after(">", end.end()) if end else len(self._source)
        elif "none" in attributes.lower() and _HIDDEN.search(attributes) and name not in _VOID:
            self._position = self._skip_element(name)
        else:
            self._page.open(name)

    def _after(self, mark: str, start: int) -> int:
        """Behind the next `mark`; what is never closed swallows the rest, as in a browser."""
        found = self._source.find(mark, start)
        return len(self._source) if found < 0 else found + len(mark)

    def _tag_end(self, start: int) -> int:
        """Behind the `>` that ends a tag; one inside a quoted value does not count."""
        position = start
        while self._quotes and (mark := _TAG_MARK.search(self._source, position)):
            if mark[0] == ">":
                return mark.end()
            position = self._source.find(mark[0], mark.end()) + 1
            # A second try for every tag would be quadratic: from here on quotes mean nothing.
            self._quotes = position > 0
        self._quotes = False
        return self._after(">", start)

    def _skip_element(self, name: str) -> int:
        """Behind the end tag that closes an element whose content is not shown."""
        depth = 1
        for tag in _TAG.finditer(self._source, self._position):
            if tag[2].lower() == name:
                depth += -1 if tag[1] else 1
            if depth == 0:
                return self._after(">", tag.end())
        return len(self._source)


class _Page:
    """The text so far. Line breaks wait until text follows; a table cell swallows those at its edges."""

    def __init__(self) -> None:
        self._out: list[str] = []
        self._breaks = 0
        self._gap = ""
        self._fresh = True  # nothing was written in this line or cell yet
        self._pre = 0

    def text(self, raw: str) -> None:
        if not raw:
            return
        text = html.unescape(_NUMBER.sub("", raw))
        text = text if self._pre else _BLANKS.sub(" ", text)
        if self._fresh or self._breaks:
            text = text if self._pre else text.lstrip(" ")
        if not text:
            return
        if text == " ":
            self._gap = self._gap or " "
            return
        self._out.append("\n" * min(self._breaks, 2) if self._breaks else self._gap)
        self._out.append(text.rstrip(" "))
        self._breaks, self._fresh = 0, False
        self._gap = " " if text.endswith(" ") else ""

    def open(self, name: str) -> None:
        if name == "br":
            self._breaks += 0 if self._fresh else 1
        elif name in ("td", "th"):
            self._cell()
        elif name in _LINE or name in _PARAGRAPH:
            self._block(name)
        if name == "li":
            self.text("* ")
        elif name == "pre":
            self._pre += 1

    def close(self, name: str) -> None:
        if name in ("td", "th"):
            self._breaks = 0
        elif name in _LINE or name in _PARAGRAPH:
            self._block(name)
        if name == "tr":
            self._fresh, self._breaks = True, max(1, self._breaks)
        elif name == "pre":
            self._pre = max(0, self._pre - 1)

    def result(self) -> str:
        return "".join(self._out).strip("\n ")

    def _block(self, name: str) -> None:
        if not self._fresh:
            self._breaks = max(self._breaks, 2 if name in _PARAGRAPH else 1)

    def _cell(self) -> None:
        if not self._fresh and not self._breaks:
            self._gap = "  "
        self._fresh = True
