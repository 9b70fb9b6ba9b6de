"""A learner's results for a class: a JSON file that shows if it was edited, and a page to print."""

import hashlib
import json
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from exercises.answers import digests
from exercises.catalogue import Exercise, Stage
from exercises.progress import Progress
from sluice.errors import TerminalError

_STYLE = """
body { font: 11pt/1.4 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #111; }
table { border-collapse: collapse; width: 100%; margin: 1.5rem 0; }
th, td { text-align: left; padding: 0.3rem 0.6rem; border-bottom: 1px solid #bbb; vertical-align: top; }
.number { text-align: right; white-space: nowrap; }
code { font-size: 9pt; overflow-wrap: anywhere; }
tr { break-inside: avoid; }
@page { margin: 15mm; }
@media print { body { margin: 0; max-width: none; } }
"""


_NUMBERS = ("points", "hints", "checks", "solved", "minutes", "solution seen")


class Result(BaseModel):
    """What a learner has reached in one exercise."""

    model_config = ConfigDict(frozen=True)

    name: str
    title: str
    stage: Stage
    points: int
    possible: int
    hints: int
    checks: int
    started: AwareDatetime | None
    solved: AwareDatetime | None
    solution_seen: AwareDatetime | None
    submitted: dict[str, str]
    """SHA-256 of each file of the answer that passed last."""
    from_solution: list[str] = []
    """The files among them that are those of the solution, byte for byte."""

    @property
    def minutes(self) -> int | None:
        """Minutes from the start to the answer that passed first."""
        return round((self.solved - self.started).total_seconds() / 60) if self.solved and self.started else None


class Report(BaseModel):
    """The content of ``report.json``, apart from its digest."""

    model_config = ConfigDict(frozen=True)

    learner: str
    written: AwareDatetime
    revision: str
    """The Git revision of the platform, which has the graders; empty if unknown."""
    modified: list[str]
    """The files of the exercises and the platform that differ from the revision."""
    results: list[Result]

    @property
    def points(self) -> int:
        """The points of all exercises."""
        return sum(result.points for result in self.results)

    @property
    def possible(self) -> int:
        """The points that all exercises have."""
        return sum(result.possible for result in self.results)

    def to_json(self) -> str:
        """Returns the report as JSON, with the digest of everything else in it."""
        content = self.model_dump(mode="json")
        return json.dumps({**content, "digest": digest(content)}, indent=2, ensure_ascii=False) + "\n"

    def to_html(self) -> str:
        """Returns the report as a page to print."""
        facts = {
            "written": f"{self.written:%Y-%m-%d %H:%M} UTC",
            "points": f"{self.points} of {self.possible}",
            "revision": self.revision or "unknown",
            "modified files": ", ".join(self.modified) or "none",
            "digest of report.json": digest(self.model_dump(mode="json")),
        }
        return "\n".join(
            [
                '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">',
                f"<title>Exercises: {escape(self.learner)}</title>\n<style>{_STYLE}</style>",
                f"<h1>{escape(self.learner)}</h1>\n<table>",
                *(f"<tr><th>{name}<td><code>{escape(value)}</code>" for name, value in facts.items()),
                "</table>\n<table>",
                "<tr><th>exercise<th>stage" + "".join(f'<th class="number">{name}' for name in _NUMBERS),
                *map(_row, self.results),
                "</table>\n<table>\n<tr><th>exercise<th>file that passed<th>SHA-256<th>the solution's",
                *(
                    f"<tr><td>{result.name}<td>{escape(file)}<td><code>{escape(submitted)}</code>"
                    f"<td>{'yes' if file in result.from_solution else ''}"
                    for result in self.results
                    for file, submitted in result.submitted.items()
                ),
                "</table>",
                "",
            ]
        )


def results(exercises: list[Exercise], progress: Progress) -> list[Result]:
    """Returns the learner's result in each exercise."""
    return [_result(exercise, progress) for exercise in exercises]


def read_report(path: Path) -> tuple[Report, bool]:
    """Returns a report, and whether its digest is that of its content.

    Raises:
        TerminalError: the file is not a report.
    """
    try:
        content = json.loads(path.read_bytes())
        written = content.pop("digest")
        return Report.model_validate(content), written == digest(content)
    except OSError as error:
        raise TerminalError(f"{path} cannot be read: {error.strerror}", "give the path of a report.json") from None
    except (ValueError, AttributeError, KeyError, TypeError, ValidationError):
        raise TerminalError(f"{path} is not a report", "give the path of a report.json") from None


def differences(report: Report, answers: Path) -> Iterator[str]:
    """Yields a line for each file that is not the one that passed.

    Args:
        report: the report.
        answers: the folder of the learner's answers.
    """
    for result in report.results:
        present = digests(answers / result.name)
        for file, submitted in result.submitted.items():
            if file not in present:
                yield f"{result.name}: {file} is missing"
            elif present[file] != submitted:
                yield f"{result.name}: {file} is not the file that passed"


def digest(content: dict[str, Any]) -> str:
    """Returns the SHA-256 of a report's content, however its JSON is laid out."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _result(exercise: Exercise, progress: Progress) -> Result:
    record = progress.exercises.get(exercise.name)
    submitted = record.submitted if record else {}
    # A file that the learner was given, and left as it was, is no copy.
    own = submitted.items() - digests(exercise.template).items()
    description = exercise.description
    return Result(
        name=exercise.name,
        title=description.title,
        stage=description.stage,
        points=progress.points(exercise),
        possible=description.points,
        hints=record.hints if record else 0,
        checks=record.checks if record else 0,
        started=record.started if record else None,
        solved=record.solved if record else None,
        solution_seen=record.solution_seen if record else None,
        submitted=submitted,
        from_solution=sorted(file for file, _ in own & digests(exercise.solution).items()),
    )


def _row(result: Result) -> str:
    cells = [
        f"{result.points} of {result.possible}",
        str(result.hints),
        str(result.checks),
        f"{result.solved:%Y-%m-%d %H:%M}" if result.solved else "",
        "" if result.minutes is None else str(result.minutes),
        f"{result.solution_seen:%Y-%m-%d %H:%M}" if result.solution_seen else "",
    ]
    numbers = "".join(f'<td class="number">{cell}' for cell in cells)
    return f"<tr><td>{result.name[:2]} {escape(result.title)}<td>{result.stage}{numbers}"
