"""The quarantine: invalid records, inspected, replayed once they are valid, or discarded with a reason."""
