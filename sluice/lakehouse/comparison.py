"""Compares the marts of both warehouses, by their checksums per date."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from sluice.warehouse.checksum import Checksum

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
