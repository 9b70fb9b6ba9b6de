-- Both aggregates count every flight of fct_flights exactly once, for the dates and hours that a run rebuilds.
with by_date as (
    select count(*) as flights from {{ ref('fct_flights') }}
    where {{ is_stale_in('agg_carrier_daily') }}
),

counted_by_date as (
    select coalesce(sum(flights), 0) as flights from {{ ref('agg_carrier_daily') }}
    where {{ is_stale_in('agg_carrier_daily') }}
),

by_hour as (
    select count(*) as flights from {{ ref('fct_flights') }}
    where {{ is_stale_in('agg_airport_hourly', 'scheduled_at') }}
),

counted_by_hour as (
    select coalesce(sum(flights), 0) as flights from {{ ref('agg_airport_hourly') }}
    where {{ is_stale_in('agg_airport_hourly') }}
)

select
    by_date.flights as flights_by_date,
    counted_by_date.flights as counted_by_date,
    by_hour.flights as flights_by_hour,
    counted_by_hour.flights as counted_by_hour
from by_date, counted_by_date, by_hour, counted_by_hour
where by_date.flights <> counted_by_date.flights or by_hour.flights <> counted_by_hour.flights
