{{
    config(
        materialized='by_key',
        rebuild='quakes_reported_date',
        indexes=[{'columns': ['event_date'], 'unique': true}],
    )
}}

with events as (
    select * from {{ ref('stg_quakes_reported') }}
    where {{ is_stale('_event_date') }}
),

final as (
    select
        _event_date as event_date,
        count(*) as event_count
    from events
    group by _event_date
)

select * from final
