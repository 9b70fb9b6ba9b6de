{{
    config(
        materialized='by_key',
        rebuild='quakes_reported_date',
        indexes=[{'columns': ['event_date', 'magnitude_class'], 'unique': true}],
    )
}}

with earthquakes as (
    select
        *,
        case
            when magnitude is null then 'unknown'
            when magnitude < 3 then 'minor'
            when magnitude < 5 then 'light'
            else 'strong'
        end as magnitude_class
    from {{ ref('stg_quakes_reported') }}
    where kind = 'earthquake' and {{ is_stale('_event_date') }}
),

final as (
    select
        _event_date as event_date,
        magnitude_class,
        count(*) as quakes,
        count(*) filter (where status = 'reviewed') as reviewed,
        max(magnitude) as largest_magnitude,
        round(avg(depth_km), 3) as mean_depth_km
    from earthquakes
    group by _event_date, magnitude_class
)

select * from final
