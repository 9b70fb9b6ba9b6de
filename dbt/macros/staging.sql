{#-
    The body of a staging model: the columns of a raw table, one row per event. If an event was resent, the row with the
    lowest offset is kept. An incremental run reads only stale dates, so it also leaves out events that are already kept
    under fresh dates. An event that is kept under a stale date and is gone from there may have been resent on a fresh
    one: only for such events is the whole raw table read.
-#}
{%- macro stage_events(table, columns) -%}
with
{%- if rebuilds_part() %}
gone as (
    select event_id, _topic_id, _partition, _offset from {{ this }}
    where {{ is_stale() }}
    except
    select event_id, _topic_id, _partition, _offset from {{ source('raw', table) }}
    where {{ is_stale() }}
),
{% endif %}
source as (
    select * from {{ source('raw', table) }}
    where {{ is_stale() }}
    {%- if rebuilds_part() %}
    union all
    select resent.* from gone
    inner join {{ source('raw', table) }} as resent on gone.event_id = resent.event_id
    {%- endif %}
),

renamed as (
    select
        {%- for column in columns %}
        {{ column }},
        {%- endfor %}
        _event_date,
        _topic_id,
        _partition,
        _offset
    from source
),

final as (
    select distinct on (event_id) renamed.*
    from renamed
    {%- if rebuilds_part() %}
    where
        not exists (
            select 1
            from {{ this }} as kept
            where
                kept.event_id = renamed.event_id
                and not ({{ is_stale('kept._event_date') }})
                and (kept._partition, kept._offset, kept._topic_id)
                < (renamed._partition, renamed._offset, renamed._topic_id)
        )
    {%- endif %}
    order by event_id, _partition, _offset, _topic_id
)

select * from final
{%- endmacro -%}

{#-
    Marks fresh dates as stale that a staging model takes a row from or adds a row to, in the warehouse and in the run's
    plan: whatever is built after the model, in this run or a later one, rebuilds those dates too.
-#}
{%- macro mark_moved(name, target, built, key) -%}
    with moved as (
        insert into ops.stale_dates (stream, event_date)
        select dates.stream, fresh._event_date
        from (
            select _event_date from {{ built }}
            union
            select replaced._event_date from {{ target }} as replaced
            where replaced.{{ key }} in (select {{ key }} from {{ built }})
        ) as fresh
        cross join (
            select min(stream) as stream from staging.stale_partitions
            where replace(stream, '.', '_') = '{{ name.removeprefix('stg_') }}'
        ) as dates
        where not ({{ is_stale('fresh._event_date') }})
        returning seq, stream, event_date
    )

    insert into staging.stale_partitions (seq, stream, event_date)
    select seq, stream, event_date from moved
{%- endmacro -%}
