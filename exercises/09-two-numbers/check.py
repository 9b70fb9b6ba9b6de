"""Grades the query on days of which some events are sent again, corrected, delayed or missing in the mart."""

from datetime import date, timedelta
from decimal import Decimal
from secrets import randbelow

from exercises.grading.attempt import Attempt, UnseenWarehouse, WrongAnswer
from sluice.errors import TerminalError
from sluice.warehouse.connect import connect

ANSWER = "answer.sql"
DAYS = 8
COLUMNS = ["report_date", "mart", "cancelled", "other_date", "resent", "unexplained", "tile"]

_SUMMER = """
-- The day becomes one of summer, with the same times in New York.
update marts.fct_flights set flight_date = '{summer}' where flight_date = '{day}';

update raw.flights_departed set
    scheduled_at = (scheduled_at at time zone 'America/New_York' + shift) at time zone 'America/New_York',
    departed_at = (departed_at at time zone 'America/New_York' + shift) at time zone 'America/New_York',
    _event_date = cast(
        (departed_at at time zone 'America/New_York' + shift) at time zone 'America/New_York' at time zone 'UTC' as date
    )
from (select interval '1 day' * (date '{summer}' - date '{day}') as shift) as shifted
where cast(scheduled_at at time zone 'America/New_York' as date) = '{day}'"""

_DISTURB = """
-- Every flight of one day is cancelled.
delete from raw.flights_departed
where cast(scheduled_at at time zone 'America/New_York' as date) = '{cancelled}';

update marts.fct_flights set status = 'cancelled', departed_at = null, landed_at = null
where flight_date = '{cancelled}';

-- The departures of each day, in a random order.
create temporary table places as
select
    flight_id,
    cast(scheduled_at at time zone 'America/New_York' as date) as flight_date,
    row_number() over (
        partition by cast(scheduled_at at time zone 'America/New_York' as date)
        order by hashtextextended(flight_id, {seed})
    ) as place
from raw.flights_departed
group by flight_id, scheduled_at;

-- A few are scheduled shortly after midnight in New York, and shortly before: another zone has another date.
update raw.flights_departed as departure set
    scheduled_at = (flight_date + case when place < 15 then time '00:20' else time '23:40' end)
        at time zone 'America/New_York'
from places
where departure.flight_id = places.flight_id and place between 13 and 16;

-- On each day a few flights are cancelled.
delete from raw.flights_departed
where flight_id in (select flight_id from places where place <= 2);

update marts.fct_flights set status = 'cancelled', departed_at = null, landed_at = null
where flight_id in (select flight_id from places where place <= 2);

-- Some depart much later.
update raw.flights_departed set
    departed_at = departed_at + interval '20 hours',
    departure_delay_minutes = departure_delay_minutes + 1200,
    _event_date = cast((departed_at + interval '20 hours') at time zone 'UTC' as date)
where flight_id in (select flight_id from places where place between 3 and 6);

-- Some events are sent again; some of those with a corrected time, on another date; and some even twice.
create temporary table resent as
select * from raw.flights_departed
where flight_id in (select flight_id from places where place between 5 and 12);

-- Some follow the event in its partition. The others are in a higher one, at a lower offset, and were loaded before.
update raw.flights_departed set _offset = _offset + 1000000000;

update resent set _offset = _offset + 2000000000
where flight_id in (select flight_id from places where place % 2 = 1);

update resent set
    _partition = _partition + 1000,
    _loaded_at = _loaded_at - interval '1 hour'
where flight_id in (select flight_id from places where place % 2 = 0);

-- The corrected time may be the later one or the earlier one.
update resent set
    departed_at = departed_at + correction,
    _event_date = cast((departed_at + correction) at time zone 'UTC' as date)
from (select flight_id, interval '26 hours' * case when place < 11 then 1 else -1 end as correction, place from places)
    as corrected
where resent.flight_id = corrected.flight_id and place between 9 and 12;

insert into raw.flights_departed select * from resent;

insert into raw.flights_departed
select * from resent
where flight_id in (select flight_id from places where place = 8);

-- On one day the mart lacks flights; on another one the raw table does not have departures yet.
delete from marts.fct_flights
where flight_id in (select flight_id from places where flight_date = '{behind}' and place between 20 and {last});

delete from raw.flights_departed
where flight_id in (select flight_id from places where flight_date = '{ahead}' and place between 20 and {last})"""


def check(attempt: Attempt) -> None:
    """Compares the rows of the learner's query with those of the solution, and checks that they add up."""
    seed = randbelow(2**31)
    with connect(attempt.settings, "reader") as connection:
        query = "select flight_date from marts.fct_flights group by 1 having count(*) > 300 order by random() limit %s"
        days = [row[0] for row in connection.execute(query, (DAYS,)).fetchall()]
    if len(days) < DAYS:
        raise TerminalError("the mart has too few days", "run `make up`, which replays January, then try again")
    among = ", ".join(f"'{day}'" for day in days)
    some = f"hashtextextended(flight_id, {seed}) % 3 = 0"
    tables = {
        "marts.fct_flights": f"{some} and flight_date in ({among})",
        "raw.flights_departed": f"{some} and cast(scheduled_at at time zone 'America/New_York' as date) in ({among})",
    }
    with attempt.unseen_warehouse(tables) as warehouse:
        summer = date(2031, 7, 1 + randbelow(20))
        for number, day in enumerate(days[3:6]):
            warehouse.change(_SUMMER.format(day=day, summer=summer + number * timedelta(days=2)))
        cancelled, behind, ahead = days[:3]
        warehouse.change(
            _DISTURB.format(cancelled=cancelled, behind=behind, ahead=ahead, seed=seed + 1, last=22 + randbelow(5))
        )
        _check_sums(warehouse)
        warehouse.compare(ANSWER)


def _check_sums(warehouse: UnseenWarehouse) -> None:
    names, rows = warehouse.answer(ANSWER)
    if names != COLUMNS:
        return  # The comparison says so.
    for day, *figures, tile in rows:
        if not isinstance(day, date) or not all(isinstance(figure, int | Decimal) for figure in (*figures, tile)):
            raise WrongAnswer(
                f"a row is {', '.join(map(str, (day, *figures, tile)))}, expected a date and integers",
                "0 stands for nothing, not null",
            )
        total = sum(figures)
        if total != tile:
            raise WrongAnswer(
                f"on {day}, {' + '.join(COLUMNS[1:-1])} add up to {total}, but the tile has {tile}",
                "does a record count for two causes, or for none?",
            )
