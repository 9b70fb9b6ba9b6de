"""The quarantine: what did not fit its contract, looked at, replayed once it fits, or discarded with a reason."""
