"""The four methods: each reads a mail and says what it wants; none of them does anything."""
