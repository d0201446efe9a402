"""Raw bytes to a Reading: MIME, charsets, addresses, dates."""
