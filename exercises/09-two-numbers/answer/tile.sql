-- The dashboard's tile: flights per day.
select
    _event_date as day,
    count(*) as flights
from raw.flights_departed
group by _event_date
order by _event_date
