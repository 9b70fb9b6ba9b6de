"""Compares the marts of both warehouses, by their checksums per date."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from sluice.errors import TerminalError
from sluice.lakehouse.process import run
from sluice.settings import Settings
from sluice.warehouse import connect
from sluice.warehouse.checksum import Checksum, marts

Checksums = Mapping[str, Mapping[date | None, Checksum]]
"""By mart, then by date; None is the date of marts without one."""
_NONE = Checksum(0, "0")


@dataclass(frozen=True)
class Difference:
    """A mart's rows of one date that differ."""

    mart: str
    day: date | None
    postgres: Checksum
    spark: Checksum

    def text(self) -> str:
        """Returns the difference in words."""
        where = f"{self.mart}, {self.day}" if self.day else self.mart
        if self.postgres.rows != self.spark.rows:
            return f"{where}: Postgres has {self.postgres.rows:,} rows, Spark {self.spark.rows:,}"
        return f"{where}: {self.postgres.rows:,} rows in both, with different values"


def compare(settings: Settings, first: date, last: date, log_line: Callable[[str], None]) -> "Comparison":
    """Compares the marts of both warehouses on a range of dates, both ends included.

    Args:
        settings: with the warehouse's reader, and the secrets of the cluster and of the store's user.
        first, last: the dates.
        log_line: receives Spark's log, line by line.

    Raises:
        TransientError, TerminalError: one of them is down or rejects a query.
    """
    with connect(settings, "reader") as warehouse:
        postgres = marts(warehouse, first, last)
    spark: dict[str, dict[date | None, Checksum]] = {}
    for line in run("checksums", first.isoformat(), last.isoformat(), settings=settings, log_line=log_line):
        mart, day, rows, hashed = json.loads(line)
        spark.setdefault(mart, {})[date.fromisoformat(day) if day else None] = Checksum(rows, hashed)
    return Comparison(postgres, spark)


@dataclass(frozen=True)
class Comparison:
    """What was compared, and where the two differ."""

    postgres: Checksums
    spark: Checksums

    def differences(self) -> list[Difference]:
        """Returns the differences by mart and date; a mart that one of them lacks has no rows there."""
        found = []
        for mart in sorted({*self.postgres, *self.spark}):
            left, right = self.postgres.get(mart, {}), self.spark.get(mart, {})
            for day in sorted({*left, *right}, key=lambda day: day or date.min):
                pair = left.get(day, _NONE), right.get(day, _NONE)
                if pair[0] != pair[1]:
                    found.append(Difference(mart, day, *pair))
        return found

    def require_equality(self) -> None:
        """Raises an error if the two differ.

        Raises:
            TerminalError: they differ.
        """
        if differences := self.differences():
            raise TerminalError(
                f"the engines differ in {len(differences)} marts and dates",
                "give both the same events: run `make load`, `make transform` and `make lakehouse`",
            )

    def lines(self) -> Iterable[str]:
        """Yields one line per mart, and one per difference."""
        differences = self.differences()
        for mart in sorted({*self.postgres, *self.spark}):
            days = {*self.postgres.get(mart, {}), *self.spark.get(mart, {})}
            different = sum(difference.mart == mart for difference in differences)
            rows = sum(checksum.rows for checksum in self.postgres.get(mart, {}).values())
            dates = "no dates" if days == {None} else f"{len(days)} dates"
            verdict = f"{different} differ" if different else "equal"
            yield f"{mart:<24}{rows:>12,} rows  {dates:>10}  {verdict}"
        for difference in differences:
            yield difference.text()
