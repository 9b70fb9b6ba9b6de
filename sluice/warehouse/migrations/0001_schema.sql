-- The schema before there were migrations. A warehouse of that time is adopted as it is: everything exists already.
create schema if not exists raw;
create schema if not exists ops;
create schema if not exists live;
create schema if not exists staging authorization sluice_transformer;
create schema if not exists marts authorization sluice_transformer;

-- The ledger. An entry's first offset must be the next offset of an earlier entry, and both are unique, so Postgres
-- itself rejects gaps and overlaps. The first row of a partition starts the chain at 0.
create table if not exists ops.loads (
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
);
create index if not exists loads_by_stream on ops.loads (stream, topic_id, partition, next_offset desc);

-- Stale dates: which dates of which stream changed, and when the marts were rebuilt from them.
create table if not exists ops.touched_dates (
    seq bigint generated always as identity primary key,
    stream text not null,
    event_date date not null,
    touched_at timestamptz not null default clock_timestamp(),
    built_at timestamptz
);
create index if not exists touched_dates_pending on ops.touched_dates (seq) where built_at is null;

-- Statistics of each date. Transforms write duplicates and built_at, loads everything else.
create table if not exists ops.dates (
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
);

-- Schema drift: fields of events that are not in their contract.
create table if not exists ops.drift (
    stream text not null,
    event_date date not null,
    field text not null,
    rows bigint not null,
    primary key (stream, event_date, field)
);

create table if not exists raw.quarantine (
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
);
create index if not exists quarantine_by_date on raw.quarantine (stream, event_date);

-- Audit log of records that left quarantine or were discarded. A discarded record stays in raw.quarantine, so that
-- every offset is accounted for, but it no longer counts as open.
create table if not exists ops.quarantine_log (
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
);
create index if not exists quarantine_log_by_place on ops.quarantine_log (topic_id, partition, "offset");

-- What queries need from the contracts.
create table if not exists ops.streams (
    stream text primary key,
    lateness interval not null
);

-- Alerts: raised once, and cleared when the problem is gone.
create table if not exists ops.alerts (
    seq bigint generated always as identity primary key,
    raised_at timestamptz not null default now(),
    kind text not null,
    subject text not null,
    message text not null,
    cleared_at timestamptz
);
create unique index if not exists alerts_open on ops.alerts (kind, subject) where cleared_at is null;

-- How far the live view has read, and its heartbeat. The view creates its own tables.
create table if not exists live.partitions (
    stream text not null,
    topic_id text not null,
    partition integer not null,
    next_offset bigint not null,
    primary key (topic_id, partition)
);
create table if not exists live.heartbeat (one boolean primary key default true check (one), seen_at timestamptz);
insert into live.heartbeat (seen_at) values (null) on conflict do nothing;
