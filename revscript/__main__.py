"""`python -m revscript` is the command `revscript`."""

from __future__ import annotations

from revscript.cli import main

if __name__ == "__main__":
    main()
