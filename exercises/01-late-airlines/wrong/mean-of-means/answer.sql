select carrier, name as airline, sum(departed) as departures, avg(avg_departure_delay_minutes) as mean_delay
from marts.agg_carrier_daily
join marts.dim_carrier using (carrier)
group by carrier, name
having sum(departed) >= 50
order by mean_delay desc, carrier
limit 3
