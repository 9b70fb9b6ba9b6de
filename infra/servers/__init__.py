"""The servers: how each is configured, started, health-checked and stopped."""
