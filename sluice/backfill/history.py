"""The history of backfills: each request with its proof, in ``ops.backfills``."""

from sluice.backfill.proof import Proof
from sluice.backfill.request import Request
from sluice.settings import Settings
from sluice.warehouse import connect


def save_proof(settings: Settings, request: Request, proof: Proof) -> None:
    """Adds a verified backfill to the history.

    Args:
        settings: with the loader's password.
        request: what was reprocessed.
        proof: what it changed, and what contradicts it.

    Raises:
        TransientError: Postgres is down.
    """
    with connect(settings, "loader") as warehouse:
        warehouse.execute(
            "insert into ops.backfills (first_date, last_date, streams, what, holds, proof)"
            " values (%s, %s, %s, %s, %s, %s)",
            (request.first, request.last, list(request.streams), request.what, proof.holds, proof.text()),
        )
