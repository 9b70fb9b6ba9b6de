with records as (
    select
        _event_date,
        cast(scheduled_at at time zone 'America/New_York' as date) as flight_date,
        row_number() over (partition by event_id order by _loaded_at, _offset) as occurrence
    from raw.flights_departed
),

counted as (
    select
        flight_date as report_date,
        'mart' as figure,
        1 as flights
    from marts.fct_flights
    union all
    select
        flight_date as report_date,
        'cancelled' as figure,
        -1 as flights
    from marts.fct_flights
    where status = 'cancelled'
    union all
    select
        _event_date as report_date,
        'other_date' as figure,
        1 as flights
    from records
    where occurrence = 1
    union all
    select
        flight_date as report_date,
        'other_date' as figure,
        -1 as flights
    from records
    where occurrence = 1
    union all
    select
        _event_date as report_date,
        'resent' as figure,
        1 as flights
    from records
    where occurrence > 1
    union all
    select
        _event_date as report_date,
        'tile' as figure,
        1 as flights
    from records
),

figures as (
    select
        report_date,
        coalesce(sum(flights) filter (where figure = 'mart'), 0) as mart,
        coalesce(sum(flights) filter (where figure = 'cancelled'), 0) as cancelled,
        coalesce(sum(flights) filter (where figure = 'other_date'), 0) as other_date,
        coalesce(sum(flights) filter (where figure = 'resent'), 0) as resent,
        coalesce(sum(flights) filter (where figure = 'tile'), 0) as tile
    from counted
    group by report_date
    having bool_or(figure in ('mart', 'tile'))
)

select
    report_date,
    mart,
    cancelled,
    other_date,
    resent,
    tile - mart - cancelled - other_date - resent as unexplained,
    tile
from figures
order by report_date
