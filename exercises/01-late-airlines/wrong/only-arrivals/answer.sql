select
    flight.carrier,
    airline.name as airline,
    count(*) as departures,
    avg(flight.departure_delay_minutes) as mean_delay
from marts.fct_flights as flight
join marts.dim_carrier as airline using (carrier)
where flight.status = 'arrived'
group by flight.carrier, airline.name
having count(*) >= 50
order by mean_delay desc, carrier
limit 3
