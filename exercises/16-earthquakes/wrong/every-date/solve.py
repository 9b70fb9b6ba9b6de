"""The backfill rebuilds the whole history."""

import shutil

from exercises.grading.attempt import Attempt


def solve(attempt: Attempt) -> None:
    """Writes the solution with this mistake."""
    shutil.copytree(attempt.reference, attempt.folder, dirs_exist_ok=True)
    query = "select distinct event_date from marts.agg_quakes_daily order by event_date\n"
    (attempt.folder / "backfill.sql").write_text(query)
