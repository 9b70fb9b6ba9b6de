"""The result of a soak: as lines, as JSON and as a page."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.report import machine
from tests.soak.checks import Check
from tests.soak.nemesis import Outcome
from tests.soak.slopes import Slope


@dataclass
class Result:
    """What a soak did and found."""

    seed: int
    minutes: float
    events: int = 0
    """Records in Kafka at the end."""
    rate: float = 0.0
    """Records per second while they were sent."""
    outcomes: list[Outcome] = field(default_factory=list)
    commands: Counter[tuple[str, bool]] = field(default_factory=Counter)
    checks: list[Check] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    slopes: list[Slope] = field(default_factory=list)
    no_slopes: str = ""
    """Why growth was not judged; empty if it was."""

    @property
    def faults(self) -> dict[str, int]:
        """The faults that were carried out, by kind and target."""
        return dict(sorted(Counter(f"{one.fault}" for one in self.outcomes if not one.skipped).items()))

    @property
    def skipped(self) -> dict[str, str]:
        """The reason of each kind of fault that was left out every time."""
        return {
            f"{one.fault}": one.skipped for one in self.outcomes if one.skipped and f"{one.fault}" not in self.faults
        }

    @property
    def failures(self) -> list[str]:
        """What must not be: failed checks, disagreements, growth beyond its bound."""
        failed = [f"{check.name}: {check.detail}" for check in self.checks if not check.holds]
        grown = [
            f"{one.metric} grows by {one.per_hour:,.1f} an hour; at most {one.bound.per_hour:,.0f}: {one.bound.reason}"
            for one in self.slopes
            if not one.holds
        ]
        return failed + self.problems + grown

    def json(self) -> dict[str, Any]:
        """Returns the result as JSON values."""
        return {
            "seed": self.seed,
            "minutes": self.minutes,
            "events": self.events,
            "events_per_second": round(self.rate),
            "faults": self.faults,
            "skipped": self.skipped,
            "commands": {
                name: {"succeeded": self.commands[name, True], "failed": self.commands[name, False]}
                for name in sorted({name for name, _ in self.commands})
            },
            "checks": [asdict(check) for check in self.checks],
            "slopes": [
                {
                    "metric": one.metric,
                    "first": round(one.first, 1),
                    "last": round(one.last, 1),
                    "per_hour": round(one.per_hour, 1),
                    "bound": one.bound.per_hour,
                    "reason": one.bound.reason,
                }
                for one in self.slopes
            ],
            "no_slopes": self.no_slopes,
            "failures": self.failures,
            "machine": machine(),
        }

    def lines(self) -> list[str]:
        """Returns the result as lines for a terminal."""
        lines = [
            f"{self.events:,} events, {self.rate:,.0f}/s",
            f"{sum(self.faults.values())} faults on {len(self.faults)} targets",
            *(f"left out: {name}: {reason}" for name, reason in self.skipped.items()),
            *(f"{'holds ' if check.holds else 'FAILED'}  {check.name}: {check.detail}" for check in self.checks),
            *(f"{one.metric}: {one.per_hour:+,.1f} an hour (at most {one.bound.per_hour:,.0f})" for one in self.slopes),
        ]
        if self.no_slopes:
            lines.append(f"growth is not judged: {self.no_slopes}")
        failures = self.failures
        lines += [f"failure: {failure}" for failure in failures]
        lines.append(f"seed {self.seed}: {f'{len(failures)} failures' if failures else 'everything holds'}")
        return lines

    def page(self) -> str:
        """Returns the result as a page."""
        lines = [
            "# Soak",
            "",
            f"`make soak MINUTES={self.minutes:g} SEED={self.seed}`: {self.events:,} events, {self.rate:,.0f}/s.",
            "",
            ", ".join(machine().values()) + ".",
            "",
            "## Checks",
            "",
            "| check | result | found |",
            "| --- | --- | --- |",
            *(f"| {one.name} | {'holds' if one.holds else 'FAILED'} | {_cell(one.detail)} |" for one in self.checks),
            *(["", *(f"- {failure}" for failure in self.failures)] if self.failures else []),
            "",
            "## Faults",
            "",
            "| fault | times |",
            "| --- | ---: |",
            *(f"| {name} | {count} |" for name, count in self.faults.items()),
            *(f"| {name} | left out: {reason} |" for name, reason in self.skipped.items()),
            "",
            "## Growth",
            "",
        ]
        if self.no_slopes:
            return "\n".join([*lines, f"Not judged: {self.no_slopes}.", ""])
        return "\n".join(
            [
                *lines,
                "| metric | first | last | per hour | at most | why it may |",
                "| --- | ---: | ---: | ---: | ---: | --- |",
                *(
                    f"| {one.metric} | {one.first:,.0f} | {one.last:,.0f} | {one.per_hour:+,.1f} "
                    f"| {one.bound.per_hour:,.0f} | {one.bound.reason} |"
                    for one in self.slopes
                ),
                "",
            ]
        )

    def write(self, folder: Path) -> None:
        """Writes soak.json and soak.md."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "soak.json").write_text(json.dumps(self.json(), indent=1) + "\n")
        (folder / "soak.md").write_text(self.page())


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "/")
