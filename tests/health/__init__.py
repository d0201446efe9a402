"""Silence is a fault: tests of the watch over the host itself."""
