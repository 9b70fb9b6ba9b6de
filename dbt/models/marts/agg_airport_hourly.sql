{{
    config(
        materialized='by_key',
        rebuild='hour',
        indexes=[
            {'columns': ['origin', 'hour'], 'unique': true},
            {'columns': ['(' ~ utc_date('hour') ~ ')']},
        ],
    )
}}

with flights as (
    select
        origin,
        date_trunc('hour', scheduled_at, 'UTC') as hour,
        count(*) as flights,
        count(*) filter (where status = 'cancelled') as cancelled,
        {{ mean('departure_delay_minutes') }} as avg_departure_delay_minutes
    from {{ ref('fct_flights') }}
    where {{ is_stale('scheduled_at') }}
    group by origin, date_trunc('hour', scheduled_at, 'UTC')
),

weather as (
    -- An airport has one observation per hour. If a producer sent several, the first one counts.
    select distinct on (origin, date_trunc('hour', observed_at, 'UTC'))
        origin,
        date_trunc('hour', observed_at, 'UTC') as hour,
        temperature_f,
        wind_speed_mph,
        precipitation_in,
        visibility_miles
    from {{ ref('stg_weather_observed') }}
    where {{ is_stale('observed_at') }}
    order by origin, date_trunc('hour', observed_at, 'UTC'), observed_at, _partition, _offset, _topic_id
),

final as (
    select
        flights.origin,
        flights.hour,
        flights.flights,
        flights.cancelled,
        flights.avg_departure_delay_minutes,
        weather.temperature_f,
        weather.wind_speed_mph,
        weather.precipitation_in,
        weather.visibility_miles
    from flights
    left join weather on flights.origin = weather.origin and flights.hour = weather.hour
)

select * from final
