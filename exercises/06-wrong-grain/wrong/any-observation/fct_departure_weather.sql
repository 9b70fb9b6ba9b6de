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
        visibility_miles,
        _offset
    from {{ ref('stg_weather_observed') }}
),

final as (
    -- Several observations may be recent enough. The newest one counts.
    select distinct on (departures.flight_id)
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
    order by departures.flight_id asc, weather.observed_at asc, weather._offset asc
)

select * from final
