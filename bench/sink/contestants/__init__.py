"""The contestants of the sink's benchmark: programs that each read the same topic, as a process of their own."""
