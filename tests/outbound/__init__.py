"""Sending, against a real SMTP server that answers as the test says."""
