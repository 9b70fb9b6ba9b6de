"""The launch: from an empty machine to marts that show the data."""
