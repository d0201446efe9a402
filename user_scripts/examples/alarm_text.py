import re


def value(text, key):
    """The rest of the line that begins with `key:`, or nothing."""
    found = re.search(rf"^{key}\s*:[ \t]*(.*\S)", text, re.MULTILINE)
    return found.group(1) if found else ""
