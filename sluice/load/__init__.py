"""The load: lake to warehouse, each offset exactly once."""

from sluice.load.run import LoadReport, load, reload, touch

__all__ = ["LoadReport", "load", "reload", "touch"]
