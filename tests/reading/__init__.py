"""The reader: raw mail to Reading."""
