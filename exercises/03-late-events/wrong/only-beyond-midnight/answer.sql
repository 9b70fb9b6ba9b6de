with arrivals as (
    select
        _event_date,
        max(departed_at) over (
            partition by _topic_id, _partition
            order by _offset
            rows between unbounded preceding and 1 preceding
        ) as watermark
    from raw.flights_departed
)

select
    _event_date as event_date,
    count(*) as events,
    count(*) filter (where watermark > (_event_date + 1)::timestamp at time zone 'UTC') as late
from arrivals
group by _event_date
order by _event_date
