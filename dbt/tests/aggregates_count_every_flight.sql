-- Both aggregates count each flight of fct_flights once: by dates and by hours that were touched.
with flight_dates as (
    {{ touched_flight_dates() }}
),

hour_dates (utc_date) as (
    {{ touched_hour_dates() }}
),

counts as (
    select
        (
            select count(*) from {{ ref('fct_flights') }}
            where flight_date in (select flight_date from flight_dates)
        ) as flights_by_date,
        (
            select coalesce(sum(flights), 0) from {{ ref('agg_carrier_daily') }}
            where flight_date in (select flight_date from flight_dates)
        ) as counted_by_date,
        (
            select count(*) from {{ ref('fct_flights') }}
            where {{ utc_date('scheduled_at') }} in (select utc_date from hour_dates)
        ) as flights_by_hour,
        (
            select coalesce(sum(flights), 0) from {{ ref('agg_airport_hourly') }}
            where {{ utc_date('hour') }} in (select utc_date from hour_dates)
        ) as counted_by_hour
)

select * from counts
where flights_by_date <> counted_by_date or flights_by_hour <> counted_by_hour
