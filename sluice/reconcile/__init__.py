"""Reconciliation: compares Kafka's offsets, the lake's commits, the warehouse's rows and the quarantine."""

from sluice.reconcile.report import DateRow, Reconciliation, Totals
from sluice.reconcile.run import PATIENCE, reconcile, reconcile_loaded

__all__ = ["PATIENCE", "DateRow", "Reconciliation", "Totals", "reconcile", "reconcile_loaded"]
