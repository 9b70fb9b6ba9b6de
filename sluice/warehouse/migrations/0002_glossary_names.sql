-- The names of the glossary: stale dates, start offset, record id. Views follow a renamed table or column.

-- Every load has read the ledger: this waits for those in progress, before the other tables are locked.
lock table ops.loads in access exclusive mode;

alter table ops.touched_dates rename to stale_dates;
alter table ops.stale_dates rename column touched_at to changed_at;
alter sequence ops.touched_dates_seq_seq rename to stale_dates_seq_seq;
alter index ops.touched_dates_pending rename to stale_dates_pending;

alter table ops.loads rename column first_offset to start_offset;

alter index ops.quarantine_log_by_place rename to quarantine_log_by_record_id;

-- The constraints that Postgres named after the tables and columns.
do $$
declare
    old record;
begin
    for old in
        select conrelid::regclass as table_name, conname as name
        from pg_constraint
        where conrelid in ('ops.stale_dates'::regclass, 'ops.loads'::regclass)
            and conname ~ 'touched_dates|touched_at|first_offset'
    loop
        execute format(
            'alter table %s rename constraint %I to %I', old.table_name, old.name,
            replace(replace(replace(old.name,
                'touched_dates', 'stale_dates'), 'touched_at', 'changed_at'), 'first_offset', 'start_offset')
        );
    end loop;
end
$$;

-- Left by earlier transforms; nothing reads them any more.
drop table if exists staging.touched_dates, staging.int_flights_touched cascade;
