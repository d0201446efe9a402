"""Receiving: sources (IMAP) and the one loop that watches any of them."""
