"""Reconciliation: compares Kafka's offsets, the lake's commits, the warehouse's rows and the quarantine."""

from sluice.reconcile.comparison import reconcile, reconcile_loaded
from sluice.reconcile.report import DateRow, Reconciliation

__all__ = ["DateRow", "Reconciliation", "reconcile", "reconcile_loaded"]
