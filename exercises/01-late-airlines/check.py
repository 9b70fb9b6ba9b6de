"""Grades the query on a third of the flights, with other delays, and with two airlines at the limit of departures."""

from secrets import randbelow

from exercises.grading.attempt import Attempt

_OTHER_DELAYS = """
-- Of the departures of two airlines, 49 and 50 are left.
create temporary table departures as
select
    flight_id,
    carrier,
    row_number() over (partition by carrier order by hashtextextended(flight_id, {seed})) as number
from marts.fct_flights
where status <> 'cancelled';

create temporary table at_limit as
select carrier, 48 + row_number() over (order by hashtextextended(carrier, {seed})) as kept
from departures
group by carrier
having count(*) > 50
order by kept
limit 2;

update marts.fct_flights
set
    status = 'cancelled',
    departed_at = null,
    landed_at = null,
    departure_delay_minutes = null,
    arrival_delay_minutes = null
where flight_id in (select flight_id from departures join at_limit using (carrier) where number > kept);

-- Both are among the latest. The others are in another order than on the platform.
update marts.fct_flights
set departure_delay_minutes = departure_delay_minutes + abs(hashtextextended(carrier, {seed}) % 60)
    + case when carrier in (select carrier from at_limit) then 500 else 0 end;

truncate marts.agg_carrier_daily;

insert into marts.agg_carrier_daily (
    flight_date, carrier, flights, departed, arrived, cancelled,
    avg_departure_delay_minutes, avg_arrival_delay_minutes, on_time_share
)
select
    flight_date,
    carrier,
    count(*),
    count(*) filter (where status in ('departed', 'arrived')),
    count(*) filter (where status = 'arrived'),
    count(*) filter (where status = 'cancelled'),
    avg(departure_delay_minutes),
    avg(arrival_delay_minutes),
    avg(case when arrival_delay_minutes <= 15 then 1.0 else 0 end) filter (where status = 'arrived')
from marts.fct_flights
group by flight_date, carrier"""


def check(attempt: Attempt) -> None:
    """Compares the rows of the learner's query with those of the solution."""
    seed = randbelow(2**31)
    dates = f"hashtextextended(flight_date::text, {seed}) % 3 = 0"
    tables = {"marts.fct_flights": dates, "marts.agg_carrier_daily": dates, "marts.dim_carrier": "true"}
    with attempt.unseen_warehouse(tables) as warehouse:
        warehouse.change(_OTHER_DELAYS.format(seed=seed))
        warehouse.compare("answer.sql")
