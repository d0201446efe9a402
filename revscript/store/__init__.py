"""The store: SQLite through SQLAlchemy Core. Raw mail, readings, tasks, runs, acts; one door for writing."""
