with events as (
    select distinct on (event_id)
        _event_date,
        cast(scheduled_at at time zone 'America/New_York' as date) as flight_date
    from raw.flights_departed
    order by event_id, _partition, _offset
),

counted as (
    select flight_date as report_date, 1 as mart, 0 as cancelled, 0 as other_date, 0 as tile from marts.fct_flights
    union all
    select flight_date, 0, -1, 0, 0 from marts.fct_flights where status = 'cancelled'
    union all
    select _event_date, 0, 0, 1, 0 from events
    union all
    select flight_date, 0, 0, -1, 0 from events
    union all
    select _event_date, 0, 0, 0, 1 from raw.flights_departed
)

select
    report_date,
    sum(mart) as mart,
    sum(cancelled) as cancelled,
    sum(other_date) as other_date,
    sum(tile) - sum(mart) - sum(cancelled) - sum(other_date) as resent,
    0 as unexplained,
    sum(tile) as tile
from counted
group by report_date
order by report_date
