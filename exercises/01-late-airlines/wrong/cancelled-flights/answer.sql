select carrier, name as airline, count(*) as departures, avg(departure_delay_minutes) as mean_delay
from marts.fct_flights
join marts.dim_carrier using (carrier)
group by carrier, name
having count(*) >= 50
order by mean_delay desc, carrier
limit 3
