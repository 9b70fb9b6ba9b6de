"""The programs that the sink is measured against: one module each, run as a process of its own."""
