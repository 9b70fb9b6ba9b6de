with tile as (
    select _event_date as report_date, count(*) as tile from raw.flights_departed group by _event_date
),

mart as (
    select flight_date as report_date, count(*) as mart from marts.fct_flights group by flight_date
)

select
    report_date,
    coalesce(mart, 0) as mart,
    0 as cancelled,
    coalesce(tile, 0) - coalesce(mart, 0) as other_date,
    0 as resent,
    0 as unexplained,
    coalesce(tile, 0) as tile
from mart
full join tile using (report_date)
order by report_date
