"""Programs that print a table: figure, unit, machine, peer, ratio."""
