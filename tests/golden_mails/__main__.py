"""`python -m tests.golden_mails [NAME …]`: rewrite the expected readings; the diff is the review."""

from __future__ import annotations

import sys

from tests.golden_mails import FOLDER, actual, expected, names


def main(chosen: list[str]) -> None:
    """Write `reading.json` of the chosen folders (all when none is named) and say which changed."""
    for name in chosen or names():
        text = actual(name)
        if text != expected(name):
            (FOLDER / name / "reading.json").write_text(text, encoding="utf-8")
            print(f"rewritten: {name}")


if __name__ == "__main__":
    main(sys.argv[1:])
