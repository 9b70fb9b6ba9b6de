"""The warehouse made again from nothing but the lake: raw tables, quarantine, ledger and marts.

What people decided (``ops.quarantine_log``) stays. Kafka need not be there. Loads, reloads and transforms of others may
run meanwhile: what was under way is committed before the tables are emptied or finds itself behind afterwards, and what
comes later only helps. Interrupted anywhere, the next rebuild begins again and proves the same.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from sluice.contracts import Contract
from sluice.errors import TerminalError, TransientError
from sluice.lake.errors import NoTableError
from sluice.lake.layout import transaction_id
from sluice.lake.reader import LakeReader
from sluice.load import load
from sluice.settings import Settings
from sluice.transform import transform
from sluice.transform.dbt import Dbt
from sluice.transform.run import PATIENCE
from sluice.transform.stale import lock
from sluice.warehouse import connect
from sluice.warehouse.checksum import Checksum, marts

Connection = psycopg.Connection[tuple[object, ...]]
Marts = dict[str, dict[date | None, Checksum]]

# The ledger comes first: whoever changes loaded rows has read it, and so is waited for.
_OF_STREAMS: tuple[LiteralString, ...] = (
    "lock table ops.loads in access exclusive mode",
    "delete from raw.quarantine where stream = any(%(streams)s)",
    "delete from ops.loads where stream = any(%(streams)s)",
    "delete from ops.dates where stream = any(%(streams)s)",
    "delete from ops.touched_dates where stream = any(%(streams)s)",
    "delete from ops.drift where stream = any(%(streams)s)",
)
_BUILT = (
    "select nspname, relname, case relkind when 'v' then 'view' when 'm' then 'materialized view' else 'table' end"
    " from pg_class join pg_namespace on pg_namespace.oid = relnamespace"
    " where nspname in ('staging', 'marts') and relkind in ('r', 'p', 'v', 'm') and not relispartition"
)


@dataclass(frozen=True)
class Before:
    """The warehouse before its rebuild."""

    noted_at: str
    """In ISO's form."""
    whole: bool
    """The marts showed all that the lake held."""
    heads: dict[str, int]
    """The lake's next offset per stream, summed over its partitions."""
    marts: Marts


@dataclass(frozen=True)
class Table:
    """One table of the marts, before and after."""

    name: str
    rows: int
    differing: int
    """Dates whose checksums differ."""


@dataclass(frozen=True)
class Rebuild:
    """What a rebuild made."""

    rows: int
    quarantined: int
    noted_at: str
    tables: list[Table]
    comparable: bool
    """The marts had shown all that the lake held, and nothing has come in since: they are to be the same."""

    @property
    def same(self) -> bool:
        """Whether the marts are what they were, as far as they can be compared."""
        return not self.comparable or not any(table.differing for table in self.tables)

    def text(self) -> str:
        """The figures, and a line per table."""
        lines = [f"{self.rows:,} rows and {self.quarantined:,} in quarantine are loaded from the lake"]
        width = max((len(table.name) for table in self.tables), default=0)
        for table in self.tables:
            verdict = "the same" if not table.differing else f"{table.differing:,} dates differ"
            lines.append(f"marts.{table.name:<{width}}  {table.rows:>9,} rows  {verdict}")
        if not self.comparable:
            lines.append(
                f"the lake held events at {self.noted_at} that the marts did not show, or more have come in since: "
                "a difference need not be a fault"
            )
        elif self.same:
            lines.append(f"the marts are what they were at {self.noted_at}")
        return "\n".join(lines)


def rebuild(settings: Settings, contracts: dict[str, Contract], *, dbt: Dbt, say: Callable[[str], None]) -> Rebuild:
    """Empties the warehouse of all streams, and makes it again from the lake.

    Args:
        settings: with the passwords of Postgres's roles and of the lake's reader.
        contracts: all streams; what the warehouse holds of others stays as it is.
        dbt: builds the marts.
        say: takes progress, line by line.

    Raises:
        TerminalError: the lake has less than the warehouse, so that something would be lost; nothing is changed. Or a
            load or transform fails for good.
        TransientError: a server does not answer, or others were in the way; running it again is right.
    """
    note = settings.home / "rebuild-warehouse.json"
    heads = _lake_heads(settings, contracts)
    if note.exists():
        before = _read(note)
        say(f"the marts are compared with those of {before.noted_at}, when a rebuild began that did not end")
    else:
        before = _before(settings, heads)
        _write(note, before)
    _empty(settings, contracts)
    say("the warehouse is empty")
    for stream, contract in contracts.items():
        if heads[stream]:
            _load(settings, contract, heads[stream])
        say(f"{stream}: loaded")
    say(transform(settings, contracts, dbt=dbt, run="rebuild-warehouse", say=say).text())
    rows, quarantined = _counts(settings, contracts)
    after = _marts(settings)
    tables = [
        Table(name, sum(each.rows for each in after.get(name, {}).values()), _differing(before.marts, after, name))
        for name in sorted({*before.marts, *after})
    ]
    unchanged = before.heads == _totals(_lake_heads(settings, contracts))
    note.unlink()
    return Rebuild(rows, quarantined, before.noted_at, tables, before.whole and unchanged)


def _lake_heads(settings: Settings, contracts: Mapping[str, Contract]) -> dict[str, dict[tuple[str, int], int]]:
    """The lake's next offset per stream and place.

    Raises:
        TerminalError: one of them is behind the warehouse's ledger.
    """
    found: dict[str, dict[tuple[str, int], int]] = {}
    for stream, contract in contracts.items():
        ledger = _ledger(settings, stream)
        try:
            lake = LakeReader(settings, stream)
        except NoTableError:
            if ledger:
                raise
            found[stream] = {}
            continue
        heads = lake.next_offsets({topic_id for topic_id, _ in ledger}, contract)
        for place, head in ledger.items():
            held = heads.setdefault(place, lake.transaction(transaction_id(*place)))
            if held < head:
                raise TerminalError(
                    f"{stream}/{place[1]}: the lake has offsets up to {held}, the warehouse up to {head}",
                    "a rebuild would lose them: see `make lake A=verify`",
                )
        found[stream] = heads
    return found


def _ledger(settings: Settings, stream: str) -> dict[tuple[str, int], int]:
    query = "select topic_id, partition, max(next_offset) from ops.loads where stream = %s group by 1, 2"
    with connect(settings, "reader") as warehouse:
        return {(str(row[0]), int(str(row[1]))): int(str(row[2])) for row in warehouse.execute(query, (stream,))}


def _before(settings: Settings, heads: Mapping[str, Mapping[tuple[str, int], int]]) -> Before:
    with connect(settings, "reader") as warehouse:
        pending = warehouse.execute("select exists (select from ops.touched_dates where built_at is null)").fetchone()
    loaded = all(
        _ledger(settings, stream).get(place) == head for stream in heads for place, head in heads[stream].items()
    )
    whole = loaded and pending == (False,)
    return Before(datetime.now(UTC).isoformat(timespec="seconds"), whole, _totals(heads), _marts(settings))


def _totals(heads: Mapping[str, Mapping[tuple[str, int], int]]) -> dict[str, int]:
    return {stream: sum(places.values()) for stream, places in heads.items()}


def _marts(settings: Settings) -> Marts:
    with connect(settings, "reader") as warehouse:
        return marts(warehouse, date.min, date.max)


def _empty(settings: Settings, contracts: Mapping[str, Contract]) -> None:
    """In one transaction: raw rows, quarantine, ledger, what is known of dates, marts and staging."""
    try:
        with connect(settings, "postgres") as warehouse:
            # No transform builds meanwhile; the lock goes with the connection.
            lock(warehouse, PATIENCE)
            for statement in _OF_STREAMS:
                warehouse.execute(statement, {"streams": list(contracts)})
            for contract in contracts.values():
                warehouse.execute(sql.SQL("truncate {}").format(sql.Identifier("raw", contract.table)))
            for schema, name, kind in warehouse.execute(_BUILT).fetchall():
                drop = sql.SQL("drop {} if exists {} cascade")
                warehouse.execute(drop.format(sql.SQL(str(kind)), sql.Identifier(str(schema), str(name))))
    except psycopg.OperationalError as error:
        raise TransientError(f"emptying the warehouse: {error}", "nothing is changed; run it again") from error


def _load(settings: Settings, contract: Contract, heads: Mapping[tuple[str, int], int]) -> None:
    """Loads until the ledger is at the lake's heads; a load of Airflow's may bring a part of it."""
    known: dict[tuple[str, int], int] = {}
    while True:
        load(settings, contract)
        reached = _ledger(settings, contract.stream)
        if all(reached.get(place, 0) >= head for place, head in heads.items()):
            return
        if reached == known:
            raise TransientError(f"{contract.stream}: the load does not come to the lake's end", "run it again")
        known = reached


def _counts(settings: Settings, contracts: Mapping[str, Contract]) -> tuple[int, int]:
    query = "select coalesce(sum(rows), 0), coalesce(sum(quarantined), 0) from ops.loads where stream = any(%s)"
    with connect(settings, "reader") as warehouse:
        row = warehouse.execute(query, (list(contracts),)).fetchone()
    return (int(str(row[0])), int(str(row[1]))) if row else (0, 0)


def _differing(before: Marts, after: Marts, table: str) -> int:
    old, new = before.get(table, {}), after.get(table, {})
    return sum(old.get(day) != new.get(day) for day in {*old, *new})


def _write(note: Path, before: Before) -> None:
    tables = {
        table: [[day and day.isoformat(), each.rows, each.hash] for day, each in dates.items()]
        for table, dates in before.marts.items()
    }
    fields = {"noted_at": before.noted_at, "whole": before.whole, "heads": before.heads, "marts": tables}
    draft = note.with_suffix(".draft")
    draft.write_text(json.dumps(fields))
    draft.replace(note)


def _read(note: Path) -> Before:
    fields: dict[str, Any] = json.loads(note.read_text())
    tables = {
        table: {day and date.fromisoformat(day): Checksum(rows, hashes) for day, rows, hashes in dates}
        for table, dates in fields["marts"].items()
    }
    return Before(fields["noted_at"], fields["whole"], fields["heads"], tables)
