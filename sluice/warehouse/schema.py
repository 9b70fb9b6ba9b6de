"""The warehouse's schemas and tables. Everything here is idempotent."""

from typing import LiteralString

from psycopg import sql

from sluice.contracts import Contract
from sluice.settings import Settings
from sluice.warehouse.connect import connect
from sluice.warehouse.lock import lock_provisioning
from sluice.warehouse.raw_table import create_or_alter_raw_table
from sluice.warehouse.roles import provision_roles

_OPS: tuple[LiteralString, ...] = (
    # The ledger. An entry's first offset must be the next offset of an earlier entry, and both are unique, so Postgres
    # itself rejects gaps and overlaps. The first row of a partition starts the chain at 0.
    """create table if not exists ops.loads (
        stream text not null,
        topic_id text not null,
        partition integer not null,
        first_offset bigint,
        next_offset bigint not null,
        rows bigint not null,
        quarantined bigint not null,
        -- The newest event time of valid events below next_offset; null where there is none.
        watermark timestamptz,
        loaded_at timestamptz not null default now(),
        primary key (topic_id, partition, next_offset),
        unique nulls not distinct (topic_id, partition, first_offset),
        foreign key (topic_id, partition, first_offset) references ops.loads (topic_id, partition, next_offset),
        check ((first_offset is null) = (next_offset = 0)),
        check (next_offset > first_offset),
        check (rows >= 0 and quarantined >= 0)
    )""",
    "create index if not exists loads_by_stream on ops.loads (stream, topic_id, partition, next_offset desc)",
    # Stale dates: which dates of which stream changed, and when the marts were rebuilt from them.
    """create table if not exists ops.touched_dates (
        seq bigint generated always as identity primary key,
        stream text not null,
        event_date date not null,
        touched_at timestamptz not null default clock_timestamp(),
        built_at timestamptz
    )""",
    "create index if not exists touched_dates_pending on ops.touched_dates (seq) where built_at is null",
    # Statistics of each date. Transforms write duplicates and built_at, loads everything else.
    """create table if not exists ops.dates (
        stream text not null,
        event_date date not null,
        rows bigint not null,
        quarantined bigint not null,
        -- Rows that arrived after their partition's watermark had passed the date's end, and those of them that arrived
        -- after the contract's lateness had passed as well.
        late bigint not null,
        after_close bigint not null,
        -- Rows that repeat another row's event_id, as of built_at.
        duplicates bigint,
        -- The number of loads and reloads that have changed the date.
        version bigint not null,
        loaded_at timestamptz not null,
        built_at timestamptz,
        primary key (stream, event_date)
    )""",
    # Schema drift: fields of events that are not in their contract.
    """create table if not exists ops.drift (
        stream text not null,
        event_date date not null,
        field text not null,
        rows bigint not null,
        primary key (stream, event_date, field)
    )""",
    """create table if not exists raw.quarantine (
        stream text not null,
        topic_id text not null,
        partition integer not null,
        "offset" bigint not null,
        event_date date not null,
        "timestamp" timestamptz,
        key bytea,
        value bytea,
        reason text not null,
        loaded_at timestamptz not null,
        primary key (topic_id, partition, "offset")
    )""",
    "create index if not exists quarantine_by_date on raw.quarantine (stream, event_date)",
    # Audit log of records that left quarantine or were discarded. A discarded record stays in raw.quarantine, so that
    # every offset is accounted for, but it no longer counts as open.
    """create table if not exists ops.quarantine_log (
        seq bigint generated always as identity primary key,
        stream text not null,
        topic_id text not null,
        partition integer not null,
        "offset" bigint not null,
        event_date date not null,
        -- Why the record was in quarantine.
        reason text not null,
        -- replayed: valid now and moved to raw by a replay; reloaded: the same, by a reload of its date.
        action text not null check (action in ('replayed', 'reloaded', 'discarded')),
        note text not null,
        done_by text not null,
        done_at timestamptz not null default now()
    )""",
    'create index if not exists quarantine_log_by_place on ops.quarantine_log (topic_id, partition, "offset")',
    # What queries need from the contracts.
    """create table if not exists ops.streams (
        stream text primary key,
        lateness interval not null
    )""",
    # The quarantine with the kind of each reason (the reason without the parts that differ from event to event), and
    # with the latest log entry of each record.
    r"""create or replace view ops.quarantine as
        select q.stream, q.event_date, q.topic_id, q.partition, q."offset", q."timestamp", q.key, q.value, q.reason,
            regexp_replace(regexp_replace(regexp_replace(q.reason,
                '(, found|record''s timestamp) .*$', '\1 …'),
                ' at (byte|character) \d+$', ' at \1 …'),
                ': \S+ is (below|above|not) the ', ': … is \1 the ') as kind,
            q.loaded_at, coalesce(last.action = 'discarded', false) as discarded, last.note, last.done_by, last.done_at
        from raw.quarantine q
        left join (
            select distinct on (topic_id, partition, "offset") *
            from ops.quarantine_log
            order by topic_id, partition, "offset", seq desc
        ) last using (topic_id, partition, "offset")""",
    # The watermark of each stream: all events up to it are expected to have arrived. It is the lowest watermark of the
    # partitions at the ends of their ledgers. Partitions that would hold it back forever are excluded: one that never
    # had an offset is not in the ledger, and one is idle when others have loaded for ten minutes after its newest
    # entry. A stream without any new events has no idle partition, and its watermark stays where it is.
    """create or replace view ops.watermarks as
        select stream, case when bool_and(watermark is not null) then min(watermark) end as watermark
        from (
            select *, max(loaded_at) over (partition by stream) - loaded_at > interval '10 minutes' as idle
            from (
                select distinct on (stream, topic_id, partition) stream, watermark, loaded_at
                from ops.loads
                where next_offset > 0
                order by stream, topic_id, partition, next_offset desc
            ) ledger_ends
        ) partitions
        where not idle
        group by stream""",
    # Statistics of each date; whether it is pending (the marts do not show its last change yet); and whether it is
    # closed (the watermark has passed its end and the contract's lateness). Events that arrive after the close are
    # loaded all the same, and counted in after_close.
    """create or replace view ops.date_status as
        select stream, event_date, d.rows, quarantined, duplicates, late, after_close, version, loaded_at, built_at,
            exists (
                select from ops.touched_dates t
                where t.stream = d.stream and t.event_date = d.event_date and t.built_at is null
            ) as pending,
            coalesce(watermark >= (event_date + 1)::timestamp at time zone 'UTC' + lateness, false) as closed
        from ops.dates d
        left join ops.streams using (stream)
        left join ops.watermarks using (stream)""",
    # Alerts: raised once, and cleared when the problem is gone.
    """create table if not exists ops.alerts (
        seq bigint generated always as identity primary key,
        raised_at timestamptz not null default now(),
        kind text not null,
        subject text not null,
        message text not null,
        cleared_at timestamptz
    )""",
    "create unique index if not exists alerts_open on ops.alerts (kind, subject) where cleared_at is null",
)

_LIVE: tuple[LiteralString, ...] = (
    # How far the live view has read, and its heartbeat. The view creates its own tables.
    """create table if not exists live.partitions (
        stream text not null,
        topic_id text not null,
        partition integer not null,
        next_offset bigint not null,
        primary key (topic_id, partition)
    )""",
    "create table if not exists live.heartbeat (one boolean primary key default true check (one), seen_at timestamptz)",
    "insert into live.heartbeat (seen_at) values (null) on conflict do nothing",
)

_GRANTS: tuple[LiteralString, ...] = (
    "grant usage on schema raw, ops to sluice_loader, sluice_transformer, sluice_reader",
    "grant select, insert, update, delete on all tables in schema raw, ops to sluice_loader",
    "grant select on all tables in schema raw to sluice_transformer, sluice_reader",
    "grant select on ops.touched_dates to sluice_transformer",
    "grant update (built_at) on ops.touched_dates to sluice_transformer",
    "grant select on ops.dates to sluice_transformer",
    "grant update (duplicates, built_at) on ops.dates to sluice_transformer",
    "grant select on all tables in schema ops to sluice_reader",
    "grant usage on schema staging, marts to sluice_reader",
    "grant select on all tables in schema marts to sluice_reader",
    "alter default privileges for role sluice_transformer in schema marts grant select on tables to sluice_reader",
    "grant usage on schema live to sluice_live, sluice_reader",
    "grant select, insert, update on live.partitions to sluice_live",
    "grant select, update on live.heartbeat to sluice_live",
    "grant select on all tables in schema live to sluice_reader",
)


def provision(settings: Settings, contracts: dict[str, Contract]) -> None:
    """Creates everything that is missing and sets the roles' passwords to those of the settings.

    Raises:
        TransientError: the server is down.
        TerminalError: a contract changed the type of a column that a raw table already has.
    """
    provision_roles(settings)
    with connect(settings, "postgres") as warehouse:
        lock_provisioning(warehouse)
        for schema in ("raw", "ops", "live"):
            warehouse.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(schema)))
        for schema in ("staging", "marts"):
            warehouse.execute(
                sql.SQL("create schema if not exists {} authorization sluice_transformer").format(
                    sql.Identifier(schema)
                )
            )
        for statement in (*_OPS, *_LIVE):
            warehouse.execute(statement)
        for contract in contracts.values():
            create_or_alter_raw_table(warehouse, contract)
            warehouse.execute(
                "insert into ops.streams (stream, lateness) values (%s, %s)"
                " on conflict (stream) do update set lateness = excluded.lateness",
                (contract.stream, contract.lateness),
            )
        for statement in _GRANTS:
            warehouse.execute(statement)
