"""Grades the history of registers that are delivered three times, by asking it about the moment after each delivery."""

import csv
import io
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from secrets import SystemRandom, randbelow

from exercises.grading.attempt import Attempt, WrongAnswer
from exercises.grading.mart_rows import Rows, compare_rows, when
from exercises.grading.project import Project, unseen_project

FILES = ("history.yml", "history.sql")
_ORDINALS = {1: "first", 2: "second", 3: "third"}
Register = list[dict[str, str]]
"""The rows of a seed, by column; an empty text is null."""

_HISTORY = "select {columns}, dbt_valid_from, dbt_valid_to from snapshots.{name} order by {key}, dbt_valid_from"
_AS_OF = """
select {columns} from snapshots.{name}
where dbt_valid_from <= '{moment}' and (dbt_valid_to is null or dbt_valid_to > '{moment}')"""


@dataclass
class History:
    """A snapshot, its seed, and what the seed held after each delivery."""

    name: str
    seed: str
    key: str
    delivered: list[Rows]


def check(attempt: Attempt) -> None:
    """Delivers registers, builds the snapshots, and compares the history with what was delivered."""
    found = [file for file in FILES if (attempt.folder / file).exists()]
    files = {
        f"snapshots/{file}": attempt.properties(file) if file.endswith(".yml") else attempt.read(file)
        for file in found or FILES[:1]
    }
    histories = [
        History("aircraft_history", "planes", "tailnum", []),
        History("carrier_history", "airlines", "carrier", []),
    ]
    moments: list[object] = []
    with unseen_project(attempt.settings) as project:
        seeds = project.settings.dbt / "seeds"
        deliveries = {history.seed: _deliveries(seeds / f"{history.seed}.csv", history.key) for history in histories}
        project.lay_over(files)
        for number in range(3):
            attempt.tell(f"delivering the registers for the {_ORDINALS[number + 1]} time")
            project.lay_over({f"seeds/{seed}.csv": _csv(registers[number]) for seed, registers in deliveries.items()})
            project.build(*(f"+{history.name}" for history in histories))
            moments += project.rows("select localtimestamp").rows[0]
            for history in histories:
                history.delivered.append(project.table(history.seed))
                _compare(project, history, moments)


def _deliveries(file: Path, key: str) -> list[Register]:
    """Returns a register, made of random rows of a seed, as it is delivered three times."""
    with file.open(newline="") as text:
        table = list(csv.DictReader(text))
    columns = [name for name in table[0] if name != key]
    rows = SystemRandom().sample(table, len(columns) + 5)
    unchanged, empty, lost, lost_later, new, *others = rows
    # In each of the others, another column changes; in every second one it changes back.
    changed = [row | {name: _other(row[name])} for row, name in zip(others, columns, strict=True)]
    back = [new_row if number % 2 else row for number, (row, new_row) in enumerate(zip(others, changed, strict=True))]
    return [
        [*others, unchanged, empty, lost, lost_later],
        [*changed, unchanged, empty | {columns[-1]: ""}, lost_later, new],
        [*back, unchanged, empty, lost, new],
    ]


def _other(value: str) -> str:
    if value.isdigit() or value == "NA":
        return str(int(value.replace("NA", "100")) + 1 + randbelow(9))
    return f"{value} {randbelow(1000)}"


def _csv(register: Register) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(register[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(register)
    return text.getvalue()


def _compare(project: Project, history: History, moments: list[object]) -> None:
    """Asks the history about each moment so far, then looks at how its rows follow each other."""
    names = {"name": history.name, "key": history.key, "columns": ", ".join(history.delivered[0].names)}
    for number, (moment, expected) in enumerate(zip(moments, history.delivered, strict=True), start=1):
        place = f"{_ORDINALS[len(moments)]} delivery, as of the time after the {_ORDINALS[number]} one"
        hint = "a row is valid from the delivery that brings it to the one that changes or lacks it"
        with when(f"after the {place}", hint):
            compare_rows(history.name, [history.key], project.rows(_AS_OF.format(moment=moment, **names)), expected)
    delivered = [table.by_key([history.key]) for table in history.delivered]
    for key, rows in project.rows(_HISTORY.format(**names)).by_key([history.key]).items():
        states = [table.get(key) for table in delivered]
        expected_rows = sum(state is not None and state != before for before, state in pairwise([None, *states]))
        if len(rows) != expected_rows:
            raise WrongAnswer(
                f"{history.name} has {len(rows)} rows of {history.key} {key[0]}, expected {expected_rows}:"
                " one of them was added although nothing about it has changed",
                "see how dbt notices that a row has changed",
            )
        for row, following in pairwise(rows):
            if row["dbt_valid_to"] is None or row["dbt_valid_to"] > following["dbt_valid_from"]:
                raise WrongAnswer(
                    f"{history.name} has two rows of {history.key} {key[0]} that are valid at the same time",
                    "dbt closes a row when it adds the next one",
                )
