"""The report runs when reports are loaded, before the mart is built."""

import shutil

from exercises.grading.attempt import Attempt


def solve(attempt: Attempt) -> None:
    """Writes the solution with this mistake."""
    shutil.copytree(attempt.reference, attempt.folder, dirs_exist_ok=True)
    dag = attempt.folder / "dags" / "quakes_report.py"
    dag.write_text(dag.read_text().replace("marts.agg_quakes_daily", "raw.quakes_reported", 1))
