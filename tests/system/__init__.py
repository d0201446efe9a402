"""The whole host against real servers: drains, crashes, bad scripts, bad neighbours."""
