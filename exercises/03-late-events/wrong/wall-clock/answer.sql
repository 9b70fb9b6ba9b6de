select _event_date as event_date, count(*) as events, count(*) filter (where _loaded_at > _event_date + 1) as late
from raw.flights_departed
group by _event_date
order by _event_date
