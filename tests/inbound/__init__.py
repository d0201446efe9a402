"""Receiving, against a real Dovecot, a proxy that breaks connections, and a server that speaks nonsense."""
