"""Sending: the courier carries acts out; one file per way to the world."""
