-- Replaced by each provisioning, after the migrations and in their transaction. `create or replace` keeps the order,
-- the names and the types of columns: a migration that changes one of those drops the view.

-- The quarantine with the kind of each reason (the reason without the parts that differ from event to event), and with
-- the latest log entry of each record.
create or replace view ops.quarantine as
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
) last using (topic_id, partition, "offset");

-- The watermark of each stream: all events up to it are expected to have arrived. It is the lowest watermark of the
-- partitions at the ends of their ledgers. Partitions that would hold it back forever are excluded: one that never had
-- an offset, and one is idle when others have loaded for ten minutes after its newest entry. A stream without any new
-- events has no idle partition, and its watermark stays where it is.
create or replace view ops.watermarks as
select stream, case when bool_and(watermark is not null) then min(watermark) end as watermark
from (
    select stream, watermark, max(loaded_at) over (partition by stream) - loaded_at > interval '10 minutes' as idle
    from ops.ledger_ends
    where next_offset > 0
) partitions
where not idle
group by stream;

-- Statistics of each date; whether it is pending (the marts do not show its last change yet); and whether it is closed
-- (the watermark has passed its end and the contract's lateness). Events that arrive after the close are loaded all the
-- same, and counted in after_close.
create or replace view ops.date_status as
select stream, event_date, d.rows, quarantined, duplicates, late, after_close, version, loaded_at, built_at,
    exists (
        select from ops.stale_dates s
        where s.stream = d.stream and s.event_date = d.event_date and s.built_at is null
    ) as pending,
    coalesce(watermark >= (event_date + 1)::timestamp at time zone 'UTC' + lateness, false) as closed
from ops.dates d
left join ops.streams using (stream)
left join ops.watermarks using (stream);

-- The sessions that hold a mart, so that a transform can name those that it waits for. As superuser, because a role sees
-- only when its own queries started. It shows no query.
create or replace function ops.sessions_holding_mart(mart text) returns setof text
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select format('pid %s (%s)', a.pid, concat_ws(
        ', ', a.usename, nullif(a.application_name, ''),
        a.state || to_char(a.state_change at time zone 'UTC', ' "since" YYYY-MM-DD HH24:MI:SS "UTC"'),
        to_char(a.query_start at time zone 'UTC', '"query started" YYYY-MM-DD HH24:MI:SS "UTC"')
    ))
    from pg_stat_activity a
    where a.pid <> pg_backend_pid() and a.pid in (
        select l.pid from pg_locks l
        join pg_class c on c.oid = l.relation join pg_namespace n on n.oid = c.relnamespace
        where l.granted and l.database = (select oid from pg_database where datname = current_database())
            and n.nspname = 'marts' and c.relname = mart
    )
    order by a.query_start
$$;
