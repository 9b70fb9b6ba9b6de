"""Alerts: what somebody should look at, raised once, cleared when it is well again, and told each time."""

from sluice.alerts.notify import notify
from sluice.alerts.store import Change, sync_alerts

__all__ = ["Change", "notify", "sync_alerts"]
