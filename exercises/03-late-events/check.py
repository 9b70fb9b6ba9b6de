"""Grades the query on a few adjacent dates whose events arrive in another order; some are late, and some sent again."""

from datetime import timedelta
from secrets import choice, randbelow

from exercises.grading.attempt import Attempt
from sluice.errors import TerminalError
from sluice.warehouse.connect import connect

DATES = 4
DAY = timedelta(days=1)

_SHUFFLE = """
-- Some events are sent again.
insert into raw.flights_departed
select (jsonb_populate_record(record, jsonb_build_object('_offset', _offset + 1000000000))).*
from raw.flights_departed as record
where hashtextextended(event_id, {seed} + 2) % 20 = 0;

-- All were loaded at once: the time of loading says nothing about the order.
update raw.flights_departed set _loaded_at = (select max(_loaded_at) from raw.flights_departed);

-- After midnight, the watermark stays at the very end of a date for hours.
update raw.flights_departed
set departed_at = _event_date::timestamp at time zone 'UTC'
where departed_at < (_event_date + time '06:00') at time zone 'UTC';

with arrivals as (
    select _topic_id, _partition, _offset,
        row_number() over (
            partition by _topic_id, _partition
            order by departed_at + case
                when hashtextextended(event_id || _offset, {seed}) % 8 = 0
                then interval '1 hour' * (abs(hashtextextended(event_id || _offset, {seed} + 1)) % 60)
                else interval '0'
            end
        ) - 1 as place
    from raw.flights_departed
)
-- Each partition has offsets of its own range: across partitions, an offset says nothing about time.
update raw.flights_departed as record
set _offset = place + record._partition * 1000000
from arrivals
where (record._topic_id, record._partition, record._offset)
    = (arrivals._topic_id, arrivals._partition, arrivals._offset)"""


def check(attempt: Attempt) -> None:
    """Compares the rows of the learner's query with those of the solution."""
    with connect(attempt.settings, "reader") as connection:
        stored = {row[0] for row in connection.execute("select distinct _event_date from raw.flights_departed")}
    # An event is late only if others of a later date come before it: the dates must be adjacent.
    pairs = sorted(day for day in stored if day + DAY in stored)
    if not pairs:
        raise TerminalError(
            "the warehouse has no departures of two adjacent dates yet", "run `make load`, then try again"
        )
    first = choice(pairs)
    last = first + (DATES - 1) * DAY
    with attempt.unseen_warehouse({"raw.flights_departed": f"_event_date between '{first}' and '{last}'"}) as warehouse:
        warehouse.change(_SHUFFLE.format(seed=randbelow(2**31)))
        warehouse.compare("answer.sql")
