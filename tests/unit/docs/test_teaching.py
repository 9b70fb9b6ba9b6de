"""The table of the teaching page has every exercise as its folder describes it."""

from docs.exercise_table import PAGE, insert
from exercises.catalogue import read_exercises
from tests.unit.docs.markdown import table_rows


def test_the_page_has_every_exercise() -> None:
    text = PAGE.read_text()
    assert insert(text) == text, "run `python -m docs.exercise_table`"
    assert len(table_rows(PAGE, "Exercises")) == len(read_exercises())
