select
    _event_date as event_date,
    count(*) as events,
    0 as late
from raw.flights_departed
group by _event_date
order by _event_date
