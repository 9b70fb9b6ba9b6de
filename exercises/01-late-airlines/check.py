"""Grades the query on a third of the flights, on other dates, with two airlines at the limit and others in a tie."""

from secrets import randbelow

from exercises.grading.attempt import Attempt

ANSWER = "answer.sql"
TRIES = 4
_TIE = ", carrier\nlimit"
_DATES = """flight_date in (
    select flight_date from marts.fct_flights group by flight_date order by hashtextextended(flight_date::text, {seed})
    limit (select greatest(count(distinct flight_date) / 3, 2) from marts.fct_flights)
)"""
"""With a single date, a mean of daily means would be the mean."""
_OTHER_DATES = """
-- Some dates are moved into the future, the others into the past.
update marts.fct_flights as flight
set
    flight_date = flight_date + days,
    scheduled_at = scheduled_at + interval '1 day' * days,
    departed_at = departed_at + interval '1 day' * days,
    landed_at = landed_at + interval '1 day' * days
from (
    select
        flight_date as moved,
        case when row_number() over (order by flight_date) % 2 = 0 then {later} else -{earlier} end as days
    from marts.fct_flights
    group by flight_date
) as moves
where flight.flight_date = moved"""
_OTHER_DELAYS = """
-- Of the departures of two airlines, 49 and 50 are left, and of some others 53 each.
create temporary table departures as
select
    flight_id,
    carrier,
    row_number() over (partition by carrier order by hashtextextended(flight_id, {seed})) as number
from marts.fct_flights
where status <> 'cancelled';

create temporary table limited as
select carrier, place, case when place <= 2 then 48 + place else 53 end as kept
from (
    select carrier, row_number() over (order by hashtextextended(carrier, {seed})) as place
    from departures
    group by carrier
    having count(*) > 53
) as places
where place <= 10;

update marts.fct_flights
set
    status = 'cancelled',
    departed_at = null,
    landed_at = null,
    departure_delay_minutes = null,
    arrival_delay_minutes = null
where flight_id in (select flight_id from departures join limited using (carrier) where number > kept);

-- One flight of each has departed and not arrived.
update marts.fct_flights
set status = 'departed', landed_at = null, arrival_delay_minutes = null
where flight_id in (select flight_id from departures join limited using (carrier) where number = 1);

-- The two are among the latest. The next ones have one mean, which has no end. The others are in another order than on
-- the platform.
update marts.fct_flights
set departure_delay_minutes = departure_delay_minutes + abs(hashtextextended(carrier, {seed}) % 60)
    + case when carrier in (select carrier from limited where place <= 2) then 500 else 0 end;

update marts.fct_flights as flight
set departure_delay_minutes = 400 + number % 7
from departures join limited using (carrier)
where flight.flight_id = departures.flight_id and place > 2 and flight.status <> 'cancelled';

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
    solution = (attempt.reference / ANSWER).read_text()
    attempt.query(ANSWER)
    for more in reversed(range(TRIES)):
        seed = randbelow(2**31)
        dates = _DATES.format(seed=seed)
        tables = {"marts.fct_flights": dates, "marts.agg_carrier_daily": dates, "marts.dim_carrier": "true"}
        with attempt.unseen_warehouse(tables) as warehouse:
            warehouse.change(_OTHER_DATES.format(later=400 + randbelow(2000), earlier=400 + randbelow(2000)))
            warehouse.change(_OTHER_DELAYS.format(seed=seed))
            # Between equal ones, Postgres may choose the right order by chance.
            if more and warehouse.rows(solution) == warehouse.rows(solution.replace(_TIE, "\nlimit")):
                continue
            warehouse.compare(ANSWER)
            return
