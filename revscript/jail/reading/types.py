"""What a file really is, by its first bytes; what is declared counts only where bytes cannot tell."""

from __future__ import annotations

HEAD = 1024  # bytes that `sniff` wants to see

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (8, b"WEBPVP8", "image/webp"),
    (0, b"\x78\x9f\x3e\x22", "application/ms-tnef"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"PK\x05\x06", "application/zip"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"Rar!\x1a\x07", "application/vnd.rar"),
    (0, b"MZ", "application/x-msdownload"),
    (0, b"\x7fELF", "application/x-executable"),
    (0, b"{\\rtf", "application/rtf"),
    (4, b"ftypheic", "image/heic"),
    (4, b"ftyp", "video/mp4"),
    (0, b"RIFF", "audio/wav"),
    (0, b"OggS", "audio/ogg"),
    (0, b"ID3", "audio/mpeg"),
)
# Types that bytes would have shown: claimed without the bytes, the claim is false.
_PROVABLE = frozenset(kind for _, _, kind in _MAGIC) - {"audio/mpeg", "video/mp4", "audio/wav"} | {"application/pdf"}
# Containers whose content says more than the container; declared types that may stand for them.
_INSIDE = {
    "application/zip": (
        "application/vnd.openxmlformats-",
        "application/vnd.oasis.opendocument.",
        "application/epub",
    ),
    "application/x-ole-storage": ("application/msword", "application/vnd.ms-", "application/vnd.visio"),
    "video/mp4": ("video/", "audio/"),
    "audio/wav": ("audio/", "video/"),
}
_OPENXML = "application/vnd.openxmlformats-officedocument."
_EXTENSIONS = {
    ("application/zip", "docx"): _OPENXML + "wordprocessingml.document",
    ("application/zip", "xlsx"): _OPENXML + "spreadsheetml.sheet",
    ("application/zip", "pptx"): _OPENXML + "presentationml.presentation",
    ("application/zip", "odt"): "application/vnd.oasis.opendocument.text",
    ("application/zip", "ods"): "application/vnd.oasis.opendocument.spreadsheet",
    ("application/x-ole-storage", "doc"): "application/msword",
    ("application/x-ole-storage", "xls"): "application/vnd.ms-excel",
    ("application/x-ole-storage", "msg"): "application/vnd.ms-outlook",
    ("text/plain", "csv"): "text/csv",
    ("text/plain", "json"): "application/json",
    ("text/plain", "ics"): "text/calendar",
    ("text/plain", "eml"): "message/rfc822",
}
_VAGUE = frozenset({"application/octet-stream", "application/x-octet-stream", "application/download", "text/plain"})


def sniff(head: bytes, declared: str, name: str) -> str:
    """The true type of a file from its first HEAD bytes, the declared type and its (safe) name."""
    found = _by_magic(head) or _by_text(head, declared)
    if found is None:
        return "application/octet-stream" if declared in _PROVABLE or declared.startswith("text/") else declared
    if declared.startswith(_INSIDE.get(found, ("\0",))):
        return declared
    return _EXTENSIONS.get((found, name.rpartition(".")[2].lower()), found)


def _by_magic(head: bytes) -> str | None:
    if b"%PDF-" in head[:HEAD]:
        return "application/pdf"
    return next((kind for at, magic, kind in _MAGIC if head.startswith(magic, at)), None)


def _by_text(head: bytes, declared: str) -> str | None:
    """XML, HTML or plain text; None when it is no text. A declared type that is text by nature is kept."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    wide = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    if start.startswith((b"<!doctype html", b"<html")):
        return "application/xhtml+xml" if declared == "application/xhtml+xml" else "text/html"
    if start.startswith((b"<?xml", b"<svg")):
        if b"<svg" in start:
            return "image/svg+xml"
        return declared if declared.endswith(("/xml", "+xml")) and declared != "image/svg+xml" else "application/xml"
    if not wide and any(byte < 9 or 13 < byte < 27 for byte in start):
        return None
    if declared in _VAGUE or declared in _PROVABLE:
        return "text/plain" if head else declared
    return declared
