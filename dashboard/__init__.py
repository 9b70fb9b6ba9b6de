"""The dashboard: server-rendered pages about the platform, read with the warehouse's read-only reader role."""
