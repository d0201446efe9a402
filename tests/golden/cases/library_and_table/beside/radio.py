"""How radio call signs are spoken."""

def spoken(unit):
    return tables("units").get(unit, "name") or unit
