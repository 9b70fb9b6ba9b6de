"""The servers: how each is configured, started, probed and stopped."""
