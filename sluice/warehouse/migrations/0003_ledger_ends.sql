-- Where the ledger of each partition ends, so that no reader has to scan the ledger.
create table ops.ledger_ends (
    stream text not null,
    topic_id text not null,
    partition integer not null,
    next_offset bigint not null,
    -- Totals of the partition's entries.
    rows bigint not null,
    quarantined bigint not null,
    -- Of the last entry.
    watermark timestamptz,
    loaded_at timestamptz not null,
    primary key (topic_id, partition)
);

-- Only these triggers write the ends: no statement can change the ledger alone, whoever sends it. They run as their
-- owner, so that no service needs the right to write the ends.
create function ops.extend_ledger_ends() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into ops.ledger_ends as known
        (stream, topic_id, partition, next_offset, rows, quarantined, watermark, loaded_at)
    select distinct on (topic_id, partition)
        stream, topic_id, partition, next_offset,
        sum(rows) over entries, sum(quarantined) over entries, watermark, loaded_at
    from added
    window entries as (partition by topic_id, partition)
    order by topic_id, partition, next_offset desc
    on conflict (topic_id, partition) do update set
        next_offset = excluded.next_offset,
        rows = known.rows + excluded.rows,
        quarantined = known.quarantined + excluded.quarantined,
        watermark = excluded.watermark,
        loaded_at = excluded.loaded_at;
    return null;
end
$$;

-- Deleting and correcting entries is rare: it may cost a scan.
create function ops.recompute_ledger_ends() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    lock table ops.ledger_ends in share row exclusive mode;
    delete from ops.ledger_ends;
    insert into ops.ledger_ends (stream, topic_id, partition, next_offset, rows, quarantined, watermark, loaded_at)
    select distinct on (topic_id, partition)
        stream, topic_id, partition, next_offset,
        sum(rows) over entries, sum(quarantined) over entries, watermark, loaded_at
    from ops.loads
    window entries as (partition by topic_id, partition)
    order by topic_id, partition, next_offset desc;
    return null;
end
$$;

create trigger extend_ledger_ends after insert on ops.loads
referencing new table as added
for each statement execute function ops.extend_ledger_ends();

create trigger recompute_ledger_ends after update or delete or truncate on ops.loads
for each statement execute function ops.recompute_ledger_ends();

-- Fires the trigger, which fills the table from the ledger as it is.
delete from ops.loads where false;

-- The ends replace the first index. The alert on the quarantine rate reads the last hour's entries.
drop index ops.loads_by_stream;
create index loads_by_loaded_at on ops.loads (loaded_at);
