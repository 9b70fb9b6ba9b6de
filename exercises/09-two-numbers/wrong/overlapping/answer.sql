with records as (
    select
        _event_date,
        cast(scheduled_at at time zone 'America/New_York' as date) as flight_date,
        row_number() over (partition by event_id order by _partition, _offset) as copy
    from raw.flights_departed
),

counted as (
    select flight_date as report_date, 1 as mart, 0 as cancelled, 0 as other_date, 0 as resent, 0 as tile
    from marts.fct_flights
    union all
    select flight_date, 0, -1, 0, 0, 0 from marts.fct_flights where status = 'cancelled'
    union all
    select _event_date, 0, 0, 1, 0, 0 from records
    union all
    select flight_date, 0, 0, -1, 0, 0 from records
    union all
    select _event_date, 0, 0, 0, 1, 0 from records where copy > 1
    union all
    select _event_date, 0, 0, 0, 0, 1 from records
)

select
    report_date,
    sum(mart) as mart,
    sum(cancelled) as cancelled,
    sum(other_date) as other_date,
    sum(resent) as resent,
    0 as unexplained,
    sum(tile) as tile
from counted
group by report_date
order by report_date
