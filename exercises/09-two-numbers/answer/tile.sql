-- The dashboard's tile: flights per report_date.
select
    _event_date as report_date,
    count(*) as flights
from raw.flights_departed
group by _event_date
order by _event_date
