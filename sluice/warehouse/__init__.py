"""The warehouse: who may connect to it, and its tables."""

from sluice.warehouse.connect import connect, uri

__all__ = ["connect", "uri"]
