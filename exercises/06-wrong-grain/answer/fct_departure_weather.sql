{{ config(materialized='table') }}

with departures as (
    select
        flight_id,
        flight_date,
        origin,
        departed_at,
        departure_delay_minutes
    from {{ ref('fct_flights') }}
    where departed_at is not null
),

weather as (
    select
        origin,
        observed_at,
        wind_speed_mph,
        visibility_miles
    from {{ ref('stg_weather_observed') }}
),

final as (
    select
        departures.flight_id,
        departures.flight_date,
        departures.origin,
        departures.departed_at,
        departures.departure_delay_minutes,
        weather.observed_at,
        weather.wind_speed_mph,
        weather.visibility_miles
    from departures
    left join weather
        on
            departures.origin = weather.origin
            and departures.departed_at >= weather.observed_at
            and departures.departed_at < weather.observed_at + interval '2 hours'
)

select * from final
