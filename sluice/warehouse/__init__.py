"""The warehouse: its connections, roles and tables."""

from sluice.warehouse.connect import connect, uri

__all__ = ["connect", "uri"]
