{{
    config(
        materialized='by_key',
        rebuild='flight_date',
        indexes=[{'columns': ['flight_date', 'carrier'], 'unique': true}],
    )
}}

with flights as (
    select * from {{ ref('fct_flights') }}
    where {{ is_stale() }}
),

counted as (
    select
        flight_date,
        carrier,
        count(*) as flights,
        count(*) filter (where status in ('departed', 'arrived')) as departed,
        count(*) filter (where status = 'arrived') as arrived,
        count(*) filter (where status = 'cancelled') as cancelled,
        count(*) filter (where status = 'arrived' and arrival_delay_minutes <= 15) as arrived_on_time,
        {{ mean('departure_delay_minutes') }} as avg_departure_delay_minutes,
        {{ mean('arrival_delay_minutes') }} as avg_arrival_delay_minutes
    from flights
    group by flight_date, carrier
),

final as (
    select
        flight_date,
        carrier,
        flights,
        departed,
        arrived,
        cancelled,
        avg_departure_delay_minutes,
        avg_arrival_delay_minutes,
        {{ double('arrived_on_time') }} / nullif(arrived, 0) as on_time_share
    from counted
)

select * from final
