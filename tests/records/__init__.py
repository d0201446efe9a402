"""Commits and records: what becomes of effects."""
