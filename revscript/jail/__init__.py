"""The wall: everything that takes foreign bytes apart, and the scripts. Standard library and RestrictedPython only."""
