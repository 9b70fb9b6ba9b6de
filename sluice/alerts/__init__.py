"""Alerts: raised once, cleared when the problem is gone, and reported both times."""

from sluice.alerts.notify import DeliveryError, Send, deliver, log_changes
from sluice.alerts.store import Change, Problem, Run, clear_alerts_of_removed, sync_alerts

__all__ = [
    "Change",
    "DeliveryError",
    "Problem",
    "Run",
    "Send",
    "clear_alerts_of_removed",
    "deliver",
    "log_changes",
    "sync_alerts",
]
