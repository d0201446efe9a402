"""The wall, with real confined processes: jobs, limits, deaths, and children that lie."""
