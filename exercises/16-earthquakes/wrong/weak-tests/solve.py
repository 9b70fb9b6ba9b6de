"""No test compares the mart with what it is built from."""

import shutil

from exercises.grading.attempt import Attempt


def solve(attempt: Attempt) -> None:
    """Writes the solution with this mistake."""
    shutil.copytree(attempt.reference, attempt.folder, dirs_exist_ok=True)
    (attempt.folder / "dbt" / "tests" / "quakes_are_counted_once.sql").unlink()
