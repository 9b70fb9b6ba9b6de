"""The load: lake to warehouse, each offset exactly once."""

from sluice.load.run import LoadReport, load, mark_stale, reload

__all__ = ["LoadReport", "load", "mark_stale", "reload"]
