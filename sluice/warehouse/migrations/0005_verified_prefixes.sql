-- What reconciliations have verified: of each partition the offsets below next_offset.
create table ops.verified_prefixes (
    stream text not null,
    topic_id text not null,
    partition integer not null,
    next_offset bigint not null,
    -- When the warehouse was in the state that was verified last.
    verified_at timestamptz not null,
    primary key (topic_id, partition)
);

-- The lake's rows in the verified prefixes: their number, and the sums of their offsets and of the offsets' squares.
create table ops.verified_dates (
    stream text not null,
    event_date date not null,
    topic_id text not null,
    partition integer not null,
    rows bigint not null,
    offsets numeric not null,
    squares numeric not null,
    -- When the date's rows in raw and quarantine were counted last.
    counted_at timestamptz not null default now(),
    primary key (topic_id, partition, event_date)
);

create index verified_dates_by_date on ops.verified_dates (stream, event_date);

-- Finds the records that were loaded last at a thousandth of the size of a B-tree.
create index quarantine_by_load on raw.quarantine using brin (loaded_at);
