"""What a backfill is to make again, the figures before and after it, and what they prove. Airflow does the work."""

from sluice.backfill.proof import Proof, prove
from sluice.backfill.request import Request
from sluice.backfill.snapshot import Snapshot, take

__all__ = ["Proof", "Request", "Snapshot", "prove", "take"]
