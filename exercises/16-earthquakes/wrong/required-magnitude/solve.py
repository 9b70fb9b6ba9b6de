"""The contract of the sample: every report has a magnitude."""

import shutil

from exercises.grading.attempt import Attempt


def solve(attempt: Attempt) -> None:
    """Writes the solution with this mistake."""
    shutil.copytree(attempt.reference, attempt.folder, dirs_exist_ok=True)
    contract = attempt.folder / "contracts" / "quakes.reported.yaml"
    required = "type: decimal(4, 2)\n    nullable: false"
    contract.write_text(contract.read_text().replace("type: decimal(4, 2)", required))
