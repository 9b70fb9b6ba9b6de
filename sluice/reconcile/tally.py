"""Tallies: rows per partition and event date, with sums over their offsets, computed alike here and in Postgres."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from psycopg import sql

from sluice.reconcile.offsets import Offsets

_PRIME = 2**31 - 1
"""Squares of remainders fit into 64 bits."""

TallyKey = tuple[str, int, date]
"""Topic id, partition and event date."""


@dataclass(frozen=True)
class OffsetSum:
    """The number of some rows, and the sums of their offsets and of the offsets' squares.

    Two sets of offsets that differ in at most two of them have different sums; any others agree by chance alone.
    """

    rows: int = 0
    offsets: int = 0
    squares: int = 0
    """Each square is of the offset modulo 2**31 - 1, and reduced modulo it again."""

    def __add__(self, other: "OffsetSum") -> "OffsetSum":
        return OffsetSum(self.rows + other.rows, self.offsets + other.offsets, self.squares + other.squares)


Tally = dict[TallyKey, OffsetSum]
NOTHING = OffsetSum()


def offset_sum(offsets: Offsets) -> OffsetSum:
    """Returns the sums of some offsets, at most a billion."""
    # In halves, whose sums fit into 64 bits.
    total = (int((offsets >> 32).sum()) << 32) + int((offsets & 0xFFFFFFFF).sum())
    remainders = offsets % _PRIME
    return OffsetSum(len(offsets), total, int((remainders * remainders % _PRIME).sum()))


def sql_sums(column: str) -> sql.Composed:
    """Returns the three sums as columns of an aggregate query."""
    return sql.SQL(
        "count(*), coalesce(sum({column}), 0)::text,"
        " coalesce(sum(mod(mod({column}, {prime}) * mod({column}, {prime}), {prime})), 0)::text"
    ).format(column=sql.Identifier(column), prime=sql.Literal(_PRIME))


def add(tally: Tally, key: TallyKey, sums: OffsetSum) -> None:
    """Adds the sums of further rows to a tally."""
    tally[key] = tally.get(key, NOTHING) + sums


def by_date(tally: Mapping[TallyKey, OffsetSum]) -> Counter[date]:
    """Returns the rows of each date."""
    counts: Counter[date] = Counter()
    for (_, _, day), sums in tally.items():
        counts[day] += sums.rows
    return counts
