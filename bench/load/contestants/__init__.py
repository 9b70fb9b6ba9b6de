"""The contestants of the load's benchmark: programs that each load the same events once."""
