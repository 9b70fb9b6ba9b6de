{{
    config(
        materialized='by_key',
        rebuild='flight_date',
        indexes=[{'columns': ['flight_date', 'origin', 'dest'], 'unique': true}],
    )
}}

with flights as (
    select * from {{ ref('fct_flights') }}
    where {{ is_stale() }}
),

counted as (
    select
        flight_date,
        origin,
        dest,
        count(*) as flights,
        count(*) filter (where status in ('departed', 'arrived')) as departed,
        count(*) filter (where status = 'cancelled') as cancelled,
        count(tail_number) filter (where status in ('departed', 'arrived')) as aircraft,
        sum(distance_miles) filter (where status = 'arrived') as miles,
        sum(air_time_minutes) filter (where status = 'arrived') as minutes
    from flights
    group by flight_date, origin, dest
),

final as (
    select
        flight_date,
        origin,
        dest,
        flights,
        departed,
        cancelled,
        aircraft,
        cast(miles as double precision) * 60 / nullif(minutes, 0) as avg_speed_mph
    from counted
)

select * from final
