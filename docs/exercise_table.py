"""The table of ``docs/teaching.md``: every exercise, from its ``exercise.yaml``.

``python -m docs.exercise_table`` writes it into the page; a test compares the page with it.
"""

import re
from pathlib import Path

from exercises.catalogue import Exercise, read_exercises

PAGE = Path(__file__).parent / "teaching.md"
_TABLE = re.compile(r"(?<=<!-- exercises -->\n\n)(?:\|.*\n)*")


def insert(text: str) -> str:
    """Returns the page with the table of all exercises."""
    rows = ["| exercise | stage | points | teaches |", "| --- | --- | --- | --- |", *map(_row, read_exercises())]
    return _TABLE.sub(lambda _: "".join(f"{row}\n" for row in rows), text)


def _row(exercise: Exercise) -> str:
    description = exercise.description
    link = f"[{exercise.number} {description.title}](../exercises/{exercise.name}/README.md)"
    return f"| {link} | {description.stage} | {description.points} | {description.learn} |"


if __name__ == "__main__":
    PAGE.write_text(insert(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
