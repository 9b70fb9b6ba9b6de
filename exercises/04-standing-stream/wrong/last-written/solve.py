"""Names the last record that was written, not the one after it."""

import yaml

from exercises.catalogue import load_program
from exercises.grading.attempt import Attempt


def solve(attempt: Attempt) -> None:
    """Writes the offset before that of the solution."""
    load_program(attempt.reference / "solve.py").solve(attempt)
    answer = yaml.safe_load(attempt.read("answer.yaml"))
    answer["offset"] -= 1
    (attempt.folder / "answer.yaml").write_text(yaml.safe_dump(answer))
