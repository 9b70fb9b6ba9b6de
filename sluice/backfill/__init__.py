"""Backfills: the request, the snapshots before and after it, and the proof. Airflow does the work."""

from sluice.backfill.proof import Proof, prove
from sluice.backfill.request import Request
from sluice.backfill.snapshot import Snapshot, take_snapshot

__all__ = ["Proof", "Request", "Snapshot", "prove", "take_snapshot"]
