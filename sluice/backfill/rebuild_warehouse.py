"""Rebuilds the warehouse from the lake alone: raw tables, quarantine, ledger and marts.

The audit log of the quarantine (``ops.quarantine_log``) is kept. Kafka may be down. Other loads, reloads and transforms
may run meanwhile: those in progress either commit before the tables are emptied or find the ledger changed afterwards,
and later ones only help. If a rebuild is interrupted at any point, the next one continues it, with the same
comparison; it restarts only if a contract has changed since.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from sluice.contracts import Contract
from sluice.errors import TerminalError, TransientError
from sluice.lake.errors import NoTableError
from sluice.lake.ranges import PartitionKey
from sluice.lake.reader import LakeReader
from sluice.load import load
from sluice.settings import Settings
from sluice.transform import transform
from sluice.transform.dbt import Dbt
from sluice.transform.exclusive import PATIENCE
from sluice.transform.stale import lock
from sluice.warehouse import connect
from sluice.warehouse.checksum import Checksum, marts
from sluice.warehouse.failures import cause, is_transient
from sluice.warehouse.streams import empty_streams

Connection = psycopg.Connection[tuple[object, ...]]
Marts = dict[str, dict[date | None, Checksum]]

_DBT_RELATIONS = (
    "select nspname, relname, case relkind when 'v' then 'view' when 'm' then 'materialized view' else 'table' end"
    " from pg_class join pg_namespace on pg_namespace.oid = relnamespace"
    " where nspname in ('staging', 'marts') and relkind in ('r', 'p', 'v', 'm') and not relispartition"
)


@dataclass(frozen=True)
class Baseline:
    """The marts before the rebuild."""

    noted_at: str
    """Time of this baseline, in ISO 8601."""
    complete: bool
    """Whether the marts showed everything in the lake."""
    lake_offsets: dict[str, int]
    """The lake's next offset per stream, summed over its partitions."""
    marts: Marts
    contracts: str | None = None
    """Fingerprint of the contracts under which the warehouse was emptied; None before that."""


@dataclass(frozen=True)
class Table:
    """One table of the marts after the rebuild, compared with the baseline."""

    name: str
    rows: int
    differing: int
    """Dates whose checksums differ."""


@dataclass(frozen=True)
class Rebuild:
    """The result of a rebuild."""

    rows: int
    quarantined: int
    noted_at: str
    tables: list[Table]
    comparable: bool
    """Whether the marts must be identical: the baseline was complete, and nothing has arrived since."""

    @property
    def same(self) -> bool:
        """Whether the marts are identical to the baseline, as far as they are comparable."""
        return not self.comparable or not any(table.differing for table in self.tables)

    def text(self) -> str:
        """Returns the totals, and a line per table."""
        lines = [f"loaded {self.rows:,} rows and {self.quarantined:,} quarantined records from the lake"]
        width = max((len(table.name) for table in self.tables), default=0)
        for table in self.tables:
            verdict = "identical" if not table.differing else f"{table.differing:,} dates differ"
            lines.append(f"marts.{table.name:<{width}}  {table.rows:>9,} rows  {verdict}")
        if not self.comparable:
            lines.append(
                f"differences are not necessarily faults: at {self.noted_at} the marts did not show everything in the"
                " lake, or more events have arrived since"
            )
        elif self.same:
            lines.append(f"the marts are identical to those of {self.noted_at}")
        return "\n".join(lines)


def rebuild(
    settings: Settings, contracts: dict[str, Contract], *, dbt: Dbt, log_line: Callable[[str], None]
) -> Rebuild:
    """Empties the warehouse of all streams and rebuilds it from the lake.

    Args:
        settings: with the passwords of all Postgres roles and of the lake's reader.
        contracts: all streams; rows of other streams stay.
        dbt: builds the marts.
        log_line: receives progress, line by line.

    Raises:
        TerminalError: the lake is behind the warehouse, so that rows would be lost, and nothing was changed; or a load
            or transform failed for good.
        TransientError: a server is down, or other processes were in the way; run it again.
    """
    baseline_file = settings.home / "rebuild-warehouse.json"
    lake_offsets = _lake_offsets(settings, contracts)
    if baseline_file.exists():
        baseline = _read_baseline(baseline_file)
        log_line(f"continuing an interrupted rebuild: the marts will be compared with those of {baseline.noted_at}")
    else:
        baseline = _take_baseline(settings, lake_offsets)
        _write_baseline(baseline_file, baseline)
    fingerprint = _fingerprint(contracts)
    if baseline.contracts != fingerprint:
        _empty(settings, contracts)
        _write_baseline(baseline_file, replace(baseline, contracts=fingerprint))
        log_line("the warehouse is empty")
    for stream, contract in contracts.items():
        if lake_offsets[stream]:
            _load(settings, contract, lake_offsets[stream])
        log_line(f"{stream}: loaded")
    log_line(transform(settings, contracts, dbt=dbt, run="rebuild-warehouse", log_line=log_line).text())
    rows, quarantined = _counts(settings, contracts)
    after = _marts(settings)
    tables = [
        Table(
            name,
            sum(checksum.rows for checksum in after.get(name, {}).values()),
            _differing(baseline.marts, after, name),
        )
        for name in sorted({*baseline.marts, *after})
    ]
    lake_unchanged = baseline.lake_offsets == _totals(_lake_offsets(settings, contracts))
    baseline_file.unlink()
    return Rebuild(rows, quarantined, baseline.noted_at, tables, baseline.complete and lake_unchanged)


def _lake_offsets(settings: Settings, contracts: Mapping[str, Contract]) -> dict[str, dict[PartitionKey, int]]:
    """Returns the lake's next offset per stream and partition.

    Raises:
        TerminalError: the lake is behind the warehouse's ledger.
    """
    lake_offsets: dict[str, dict[PartitionKey, int]] = {}
    for stream in contracts:
        ledger = _ledger(settings, stream)
        try:
            lake = LakeReader(settings, stream)
        except NoTableError:
            if ledger:
                raise
            lake_offsets[stream] = {}
            continue
        next_offsets = lake.next_offsets()
        for key, ledger_offset in ledger.items():
            lake_offset = next_offsets.setdefault(key, 0)
            if lake_offset < ledger_offset:
                raise TerminalError(
                    f"{stream}/{key[1]}: the lake has offsets up to {lake_offset}, the warehouse up to {ledger_offset}",
                    "check the lake with `make lake A=verify`; a rebuild would lose the missing offsets",
                )
        lake_offsets[stream] = next_offsets
    return lake_offsets


def _ledger(settings: Settings, stream: str) -> dict[PartitionKey, int]:
    """Returns the ledger's next offset per partition."""
    query = "select topic_id, partition, next_offset from ops.ledger_ends where stream = %s"
    with connect(settings, "reader") as warehouse:
        return {(str(row[0]), int(str(row[1]))): int(str(row[2])) for row in warehouse.execute(query, (stream,))}


def _take_baseline(settings: Settings, lake_offsets: Mapping[str, Mapping[PartitionKey, int]]) -> Baseline:
    with connect(settings, "reader") as warehouse:
        pending = warehouse.execute("select exists (select from ops.stale_dates where built_at is null)").fetchone()
    loaded = all(
        _ledger(settings, stream).get(key) == next_offset
        for stream, next_offsets in lake_offsets.items()
        for key, next_offset in next_offsets.items()
    )
    complete = loaded and pending == (False,)
    return Baseline(datetime.now(UTC).isoformat(timespec="seconds"), complete, _totals(lake_offsets), _marts(settings))


def _totals(lake_offsets: Mapping[str, Mapping[PartitionKey, int]]) -> dict[str, int]:
    return {stream: sum(next_offsets.values()) for stream, next_offsets in lake_offsets.items()}


def _marts(settings: Settings) -> Marts:
    with connect(settings, "reader") as warehouse:
        return marts(warehouse, date.min, date.max)


def _empty(settings: Settings, contracts: Mapping[str, Contract]) -> None:
    """Deletes raw rows, quarantine, ledger, date statistics, marts and staging in one transaction."""
    try:
        with connect(settings, "postgres") as warehouse:
            # Keeps transforms from building meanwhile; the lock is released with the connection.
            lock(warehouse, PATIENCE)
            empty_streams(warehouse, contracts)
            for contract in contracts.values():
                warehouse.execute(sql.SQL("truncate {}").format(sql.Identifier("raw", contract.table)))
            for schema, name, kind in warehouse.execute(_DBT_RELATIONS).fetchall():
                drop = sql.SQL("drop {} if exists {} cascade")
                warehouse.execute(drop.format(sql.SQL(str(kind)), sql.Identifier(str(schema), str(name))))
    except psycopg.Error as error:
        kind = TransientError if is_transient(error) else TerminalError
        raise kind(
            f"emptying the warehouse failed: {cause(error)}", "run `make rebuild-warehouse` again; nothing was changed"
        ) from error


def _load(settings: Settings, contract: Contract, lake_offsets: Mapping[PartitionKey, int]) -> None:
    """Loads until the ledger reaches the lake's offsets; a load by Airflow may do part of the work."""
    previous: dict[PartitionKey, int] = {}
    while True:
        load(settings, contract)
        ledger = _ledger(settings, contract.stream)
        if all(ledger.get(key, 0) >= next_offset for key, next_offset in lake_offsets.items()):
            return
        if ledger == previous:
            raise TransientError(
                f"{contract.stream}: the load stopped before the end of the lake", "run `make rebuild-warehouse` again"
            )
        previous = ledger


def _counts(settings: Settings, contracts: Mapping[str, Contract]) -> tuple[int, int]:
    query = "select coalesce(sum(rows), 0), coalesce(sum(quarantined), 0) from ops.ledger_ends where stream = any(%s)"
    with connect(settings, "reader") as warehouse:
        row = warehouse.execute(query, (list(contracts),)).fetchone()
    return (int(str(row[0])), int(str(row[1]))) if row else (0, 0)


def _differing(before: Marts, after: Marts, table: str) -> int:
    old, new = before.get(table, {}), after.get(table, {})
    return sum(old.get(day) != new.get(day) for day in {*old, *new})


def _fingerprint(contracts: Mapping[str, Contract]) -> str:
    text = "\n".join(contract.model_dump_json() for _, contract in sorted(contracts.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def _write_baseline(file: Path, baseline: Baseline) -> None:
    tables = {
        table: [[day and day.isoformat(), checksum.rows, checksum.hash] for day, checksum in dates.items()]
        for table, dates in baseline.marts.items()
    }
    fields = {
        "noted_at": baseline.noted_at,
        "whole": baseline.complete,
        "heads": baseline.lake_offsets,
        "marts": tables,
        "contracts": baseline.contracts,
    }
    draft = file.with_suffix(".draft")
    draft.write_text(json.dumps(fields))
    draft.replace(file)


def _read_baseline(file: Path) -> Baseline:
    fields: dict[str, Any] = json.loads(file.read_text())
    tables = {
        table: {day and date.fromisoformat(day): Checksum(rows, hashes) for day, rows, hashes in dates}
        for table, dates in fields["marts"].items()
    }
    return Baseline(fields["noted_at"], fields["whole"], fields["heads"], tables, fields.get("contracts"))
