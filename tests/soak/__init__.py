"""A soak: a whole platform under load for an hour, with a nemesis that kills, stops, delays and fills what it can."""
