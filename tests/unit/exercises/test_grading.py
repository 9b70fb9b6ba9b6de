"""How results are compared, what an exercise consists of, and how it is found."""

from decimal import Decimal
from pathlib import Path

import pytest

from exercises.catalogue import Exercise, get_exercise, read_exercises
from exercises.grading.attempt import Attempt, WrongAnswer, compare
from exercises.grading.yaml_answer import read_yaml
from sluice.errors import TerminalError
from sluice.settings import Settings
from tests.fixtures.exercises import faults


def test_numbers_are_equal_whatever_their_type_and_last_digits() -> None:
    compare(["a", "b"], [(1, 0.30000000000000004)], ["a", "b"], [(Decimal("1.0"), Decimal("0.3"))])


@pytest.mark.parametrize(
    ("names", "rows", "message"),
    [
        (["b"], [(1,), (2,)], "the columns are b, expected a"),
        (["a"], [(1,), (3,)], "row 2 has a 3, expected 2"),
        (["a"], [(2,), (1,)], "row 1 has a 2, expected 1"),
        (["a"], [(1,)], "returns 1 row, expected 2"),
        (["a"], [(1,), (2,), (3,)], "returns 3 rows, expected 2"),
        (["a"], [(1,), (None,)], "row 2 has a null, expected 2"),
        ([], [], "the columns are none"),
    ],
)
def test_the_first_difference_is_named(names: list[str], rows: list[tuple[object, ...]], message: str) -> None:
    with pytest.raises(WrongAnswer, match=message):
        compare(names, rows, ["a"], [(1,), (2,)])


@pytest.mark.parametrize(
    ("rows", "expected", "message"),
    [
        ([(2,), (1,)], [(1,), (2,)], r"row 1 has a 2, expected 1\. Hint: .*their order is not"),
        (
            [(Decimal("513.1"),)],
            [(Decimal("513.0600000000000000"),)],
            r"has a 513.1, expected 513.06\. Hint: .*not rounded",
        ),
        ([(513,)], [(Decimal("513.06"),)], r"has a 513, expected 513.06\. Hint: .*not rounded"),
        ([(544.5,)], [(Decimal("544.0800000000000000"),)], r"has a 544.5, expected 544.08\. Hint: think of"),
        ([(Decimal("1200.0"),)], [(None,)], r"has a 1200, expected null\. Hint: think of"),
    ],
)
def test_the_hint_names_what_is_wrong_with_the_rows(
    rows: list[tuple[object, ...]], expected: list[tuple[object, ...]], message: str
) -> None:
    with pytest.raises(WrongAnswer, match=message):
        compare(["a"], rows, ["a"], expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("with DAG(\n", r"dag\.py is not Python: '\(' was never closed \(line 1\)\. Hint: correct the line"),
        ("x = 1\n  y = 2\n", r"unexpected indent \(line 2\)"),
        ("x = '\0'", "is not Python: "),
    ],
)
def test_a_program_that_python_cannot_read_is_found_before_anything_starts(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "dag.py").write_text(text)
    with pytest.raises(WrongAnswer, match=message):
        Attempt(Settings(), tmp_path, tmp_path).program("dag.py")


def test_properties_that_are_not_yaml_are_found_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("models:\n  - name: a\n description: b\n")
    with pytest.raises(WrongAnswer, match=r"a\.yml is not YAML: line 3: .*Hint: see how the lines are indented"):
        Attempt(Settings(), tmp_path, tmp_path).properties("a.yml")


def test_a_hint_that_is_a_question_ends_with_its_mark() -> None:
    assert str(WrongAnswer("the file is empty.", "which rows?")) == "the file is empty. Hint: which rows?"
    assert str(WrongAnswer("is it empty?", "see its rows.")) == "is it empty? Hint: see its rows."


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_missing_or_unreadable_file_is_a_wrong_answer(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "answer.sql").write_bytes(content)
    with pytest.raises(WrongAnswer, match=r"answer\.sql"):
        Attempt(Settings.model_construct(), tmp_path, tmp_path).read("answer.sql")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: [", r"answer\.yaml is not YAML: line 2: .*Hint: write one `key: value` a line"),
        ("a: 1\nb: \x01", r"answer\.yaml is not YAML: .*special characters"),
        ("a: 1", r"answer\.yaml must have the keys a, b, and no others\. Hint: write each at the start of a line"),
        ("a: 1\nb: 2\nc: 3", "must have the keys a, b, and no others"),
        ("- a\n- b", "must have the keys a, b"),
        ("a: 1\nb:", r"answer\.yaml: b is empty"),
        ("a: [12]\nb: c", r"answer\.yaml: a is \[12\], expected a whole number"),
        ("a: yes\nb: c", "a is True, expected a whole number"),
        ("a: 1.5\nb: c", r"a is 1\.5, expected a whole number"),
        ("a: 1\nb: {c: d}", r"b is \{'c': 'd'\}, expected a text"),
    ],
)
def test_an_invalid_yaml_answer_says_what_to_write_and_never_to_start_again(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "answer.yaml").write_text(text)
    with pytest.raises(WrongAnswer, match=message) as error:
        read_yaml(Attempt(Settings(), tmp_path, tmp_path), "answer.yaml", {"a": int, "b": str})
    assert "make" not in str(error.value)
    assert "\n" not in str(error.value)


def test_the_type_of_a_yaml_answer_does_not_depend_on_quotes(tmp_path: Path) -> None:
    (tmp_path / "answer.yaml").write_text('a: "12"\nb: 34')
    attempt = Attempt(Settings(), tmp_path, tmp_path)
    assert read_yaml(attempt, "answer.yaml", {"a": int, "b": str}) == {"a": 12, "b": "34"}


@pytest.mark.parametrize("exercise", read_exercises(), ids=lambda exercise: exercise.name)
def test_every_exercise_is_complete(exercise: Exercise) -> None:
    assert list(faults(exercise)) == []


def test_the_numbers_have_no_gap_and_the_stages_are_in_order() -> None:
    exercises = read_exercises()
    assert [exercise.number for exercise in exercises] == list(range(1, len(exercises) + 1))
    stages = [exercise.description.stage for exercise in exercises]
    assert stages == sorted(stages, key=["ask", "fix", "extend", "build"].index)


@pytest.mark.parametrize("name", ["1", "01", "01-late-airlines", "late-airlines", " Late-Airlines "])
def test_an_exercise_is_found_by_number_and_by_name(name: str) -> None:
    assert get_exercise(name).name == "01-late-airlines"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("99", "write a number from 1 to"),
        ("0", "write a number"),
        ("-1", "write a number"),
        ("late-airline", "late-airlines"),
    ],
)
def test_a_name_that_no_exercise_has_is_one_line(name: str, hint: str) -> None:
    with pytest.raises(TerminalError, match=f"there is no exercise '{name}'. Hint: .*{hint}") as error:
        get_exercise(name)
    assert str(error.value).endswith("`make learn` lists them.")


def test_an_invalid_description_names_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exercises.catalogue.ROOT", tmp_path)
    (tmp_path / "01-a").mkdir()
    (tmp_path / "01-a" / "exercise.yaml").write_text("title: A\nstage: play\n")
    with pytest.raises(TerminalError, match=r"01-a/exercise\.yaml is invalid"):
        read_exercises(tmp_path)
