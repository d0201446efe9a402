"""The store by itself, on real database files."""
