"""Alerts: what somebody should look at, raised once, cleared when it is well again, and told each time."""

from sluice.alerts.book import Change, settle
from sluice.alerts.tell import tell

__all__ = ["Change", "settle", "tell"]
