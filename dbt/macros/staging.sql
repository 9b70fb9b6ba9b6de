{#-
    The body of a staging model: the columns of a raw table, one row per event. If an event was resent, the row with the
    lowest offset is kept. An incremental run reads only stale dates, so it also leaves out events that are already kept
    under other dates.
-#}
{%- macro stage_events(table, columns) -%}
with source as (
    select * from {{ source('raw', table) }}
    where {{ is_stale() }}
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
                and (kept._partition, kept._offset, kept._topic_id)
                < (renamed._partition, renamed._offset, renamed._topic_id)
        )
    {%- endif %}
    order by event_id, _partition, _offset, _topic_id
)

select * from final
{%- endmacro -%}
