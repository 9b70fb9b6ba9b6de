"""Alerts: raised once, cleared when the problem is gone, and reported both times."""

from sluice.alerts.notify import notify
from sluice.alerts.store import Change, clear_alerts_of_removed, sync_alerts

__all__ = ["Change", "clear_alerts_of_removed", "notify", "sync_alerts"]
