"""What runs where Spark is installed: a session, and what a driver does with it."""
