-- Both aggregates count each flight of fct_flights once, on the dates and in the hours that were touched.
with by_date as (
    select count(*) as flights from {{ ref('fct_flights') }}
    where {{ on_touched_flight_dates() }}
),

counted_by_date as (
    select coalesce(sum(flights), 0) as flights from {{ ref('agg_carrier_daily') }}
    where {{ on_touched_flight_dates() }}
),

by_hour as (
    select count(*) as flights from {{ ref('fct_flights') }}
    where {{ in_touched_hours('scheduled_at') }}
),

counted_by_hour as (
    select coalesce(sum(flights), 0) as flights from {{ ref('agg_airport_hourly') }}
    where {{ in_touched_hours('hour') }}
)

select
    by_date.flights as flights_by_date,
    counted_by_date.flights as counted_by_date,
    by_hour.flights as flights_by_hour,
    counted_by_hour.flights as counted_by_hour
from by_date, counted_by_date, by_hour, counted_by_hour
where by_date.flights <> counted_by_date.flights or by_hour.flights <> counted_by_hour.flights
