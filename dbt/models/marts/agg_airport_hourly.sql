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
        {{ utc_hour('scheduled_at') }} as hour,
        count(*) as flights,
        count(*) filter (where status = 'cancelled') as cancelled,
        {{ mean('departure_delay_minutes') }} as avg_departure_delay_minutes
    from {{ ref('fct_flights') }}
    where {{ is_stale('scheduled_at') }}
    group by origin, {{ utc_hour('scheduled_at') }}
),

observed as (
    select
        origin,
        {{ utc_hour('observed_at') }} as hour,
        observed_at,
        temperature_f,
        wind_speed_mph,
        precipitation_in,
        visibility_miles,
        _partition,
        _offset,
        _topic_id
    from {{ ref('stg_weather_observed') }}
    where {{ is_stale('observed_at') }}
),

weather as (
    -- An airport has one observation per hour. If a producer sent several, the first one counts.
    {{ first_rows('observed', ['origin', 'hour'], ['observed_at', '_partition', '_offset', '_topic_id']) }}
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
