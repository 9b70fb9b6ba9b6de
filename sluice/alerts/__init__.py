"""Alerts: raised once, cleared when the problem is gone, and reported both times."""

from sluice.alerts.notify import notify
from sluice.alerts.store import Change, sync_alerts

__all__ = ["Change", "notify", "sync_alerts"]
