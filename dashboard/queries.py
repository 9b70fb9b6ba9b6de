"""The platform's own SQL: streams, event dates, alerts, DAG runs, quarantine. ``flights.queries`` has the rest.

Each function takes a connection and returns rows; none depends on the pages. Dates and times that Python does not have,
such as those before year 1, are text.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from dashboard.database import Connection, fetch

MAX_KIND = 200
"""Characters of a kind of reason that a page shows; one of as many may be longer."""
MAX_COUNTED = 20_000
"""Records in quarantine whose last decisions are looked up: about 5 µs each, every few seconds for each open page."""
MAX_DATES = 750
"""How many event dates a page shows: more than two years have."""


@dataclass(frozen=True)
class Alert:
    """An alert that is open or was cleared recently."""

    raised_at: datetime | str
    kind: str
    subject: str
    message: str
    dag_id: str | None
    """The DAG of the run that the alert is about, or that raised it; None if it is about no run."""
    run_id: str | None
    cleared_at: datetime | str | None


@dataclass(frozen=True)
class Stream:
    """A stream's counts in the warehouse."""

    stream: str
    loaded: int
    """Offsets that the loads have covered: rows, quarantined records, and offsets without a record."""
    rows: int
    quarantined: int
    duplicates: int
    loaded_at: datetime | str | None
    watermark: datetime | str | None
    pending: int
    """Event dates that are loaded and whose marts are not rebuilt yet."""
    pending_since: datetime | str | None = None
    """When the first of these dates changed."""


@dataclass(frozen=True)
class Quarantine:
    """The records in quarantine that wait for a decision, and when the last record came; None if nobody counts them."""

    waiting: int | None
    """Records that are not discarded: they can be replayed or discarded."""
    loaded_at: datetime | str | None


@dataclass(frozen=True)
class Marts:
    """The tables in the schema of the marts."""

    tables: int
    built_at: datetime | str | None
    event_time: datetime | str | None
    """The newest event time that is loaded, but not beyond the newest date that they show in full."""


@dataclass(frozen=True)
class EventDate:
    """One event date over all streams."""

    event_date: date | str
    rows: int
    quarantined: int
    duplicates: int
    late: int
    after_close: int
    changes: int
    """Loads and reloads that have changed the date."""
    closed: bool
    pending: bool
    built_at: datetime | str | None


@dataclass(frozen=True)
class StreamDate(EventDate):
    """One event date of one stream."""

    stream: str


@dataclass(frozen=True)
class RecentDates:
    """The last event dates of a stream, ascending."""

    stream: str
    rows: list[int]
    quarantined: list[int]


@dataclass(frozen=True)
class DagRun:
    """A run of one of Airflow's DAGs."""

    dag_id: str
    run_id: str
    state: str
    run_type: str
    start_date: datetime | str | None
    end_date: datetime | str | None

    @property
    def duration(self) -> timedelta | None:
        """How long the run took; None if it has not ended."""
        if not isinstance(self.start_date, datetime) or not isinstance(self.end_date, datetime):
            return None
        return self.end_date - self.start_date


@dataclass(frozen=True)
class FailedTask:
    """A task that failed in a run that failed."""

    dag_id: str
    run_id: str
    task_id: str
    try_number: int
    map_index: int
    """-1 for a task that is not mapped."""
    start_date: datetime | str | None
    """When the run started."""


@dataclass(frozen=True)
class Backfill:
    """A backfill that was verified."""

    first_date: date | str
    last_date: date | str
    streams: list[str]
    what: str
    verified_at: datetime | str
    holds: bool
    """Whether everything requested was reprocessed, and lake and warehouse agree."""
    proof: str


@dataclass(frozen=True)
class QuarantineReason:
    """A stream's quarantined records that share a kind of reason."""

    stream: str
    kind: str
    records: int
    discarded: int
    first: date | str
    last: date | str
    all_reasons: int
    """The number of pairs of stream and kind, with those that the limit leaves out."""
    all_records: int
    all_discarded: int


@dataclass(frozen=True)
class QuarantinedRecord:
    """One record in quarantine."""

    stream: str
    kind: str
    event_date: date | str
    partition: int
    offset: int
    reason: str
    value: bytes | None


def alerts(connection: Connection) -> list[Alert]:
    """Returns open alerts, then those cleared within the last day; the latest first, at most 21: a page shows 20."""
    return fetch(
        connection,
        Alert,
        "select raised_at, kind, subject, message, dag_id, run_id, cleared_at from ops.alerts"
        " where cleared_at is null or cleared_at > now() - interval '1 day'"
        " order by cleared_at is not null, raised_at desc limit 21",
    )


def streams(connection: Connection) -> list[Stream]:
    """Returns each stream's counts in the warehouse, by stream name."""
    query = """
        with loads as (
            select stream, sum(next_offset)::bigint as loaded, max(loaded_at) as loaded_at
            from ops.ledger_ends group by 1
        ),
        totals as (
            select stream, sum(rows)::bigint as rows, sum(quarantined)::bigint as quarantined,
                coalesce(sum(duplicates), 0)::bigint as duplicates
            from ops.dates group by 1
        ),
        pending as (
            select stream, count(distinct event_date) as pending, min(changed_at) as pending_since
            from ops.stale_dates where built_at is null group by 1
        )
        select stream, coalesce(loaded, 0) as loaded, coalesce(rows, 0) as rows,
            coalesce(quarantined, 0) as quarantined, coalesce(duplicates, 0) as duplicates, loads.loaded_at, watermark,
            coalesce(pending, 0) as pending, pending_since
        from ops.streams
        left join loads using (stream) left join totals using (stream) left join pending using (stream)
        left join ops.watermarks using (stream)
        order by stream
    """
    return fetch(connection, Stream, query)


def marts(connection: Connection) -> Marts:
    """Returns how many marts there are, and how far they are."""
    query = """
        select
            (select count(*) from pg_tables where schemaname = 'marts') as tables,
            (select max(built_at) from ops.dates) as built_at,
            least(
                (select max(watermark) from ops.ledger_ends),
                (
                    select (max(event_date) + 1)::timestamp at time zone 'UTC'
                    from ops.date_status where not pending and isfinite(event_date)
                )
            ) as event_time
    """
    return fetch(connection, Marts, query)[0]


def open_quarantine(connection: Connection, records: int) -> Quarantine:
    """Returns how many records of the quarantine wait for a decision, over all streams.

    Args:
        connection: to the warehouse.
        records: how many there are. More than ``MAX_COUNTED`` are not looked at.
    """
    if records > MAX_COUNTED:
        return Quarantine(None, None)
    # The view sorts the whole log, which keeps the decisions on records that have left the quarantine.
    query = """
        select count(*) filter (where last.action is distinct from 'discarded') as waiting,
            max(loaded_at) as loaded_at
        from raw.quarantine q
        left join lateral (
            select action from ops.quarantine_log l
            where (l.topic_id, l.partition, l."offset") = (q.topic_id, q.partition, q."offset")
            order by seq desc limit 1
        ) last on true
    """
    return fetch(connection, Quarantine, query)[0]


def event_dates(connection: Connection) -> list[EventDate]:
    """Returns the last ``MAX_DATES`` event dates, over all streams; the latest first."""
    query = """
        select event_date, sum(rows)::bigint as rows, sum(quarantined)::bigint as quarantined,
            coalesce(sum(duplicates), 0)::bigint as duplicates, sum(late)::bigint as late,
            sum(after_close)::bigint as after_close, sum(version)::bigint as changes,
            bool_and(closed) as closed, bool_or(pending) as pending, max(built_at) as built_at
        from ops.date_status
        group by 1 order by 1 desc limit %(limit)s
    """
    return fetch(connection, EventDate, query, {"limit": MAX_DATES})


def stream_dates(connection: Connection, day: date) -> list[StreamDate]:
    """Returns one event date of each stream that has it, by stream; at most 100."""
    query = """
        select stream, event_date, rows, quarantined, coalesce(duplicates, 0) as duplicates, late, after_close,
            version as changes, closed, pending, built_at
        from ops.date_status where event_date = %(day)s order by stream limit 100
    """
    return fetch(connection, StreamDate, query, {"day": day})


def recent_dates(connection: Connection, limit: int) -> list[RecentDates]:
    """Returns the rows and quarantined records of each stream's last ``limit`` event dates, ascending."""
    query = """
        select stream, array_agg(rows order by event_date) as rows,
            array_agg(quarantined order by event_date) as quarantined
        from (
            select stream, event_date, rows, quarantined,
                row_number() over (partition by stream order by event_date desc) as rank
            from ops.dates
        ) dates
        where rank <= %(limit)s
        group by 1
    """
    return fetch(connection, RecentDates, query, {"limit": limit})


def dag_runs(airflow: Connection, limit: int) -> list[DagRun]:
    """Returns Airflow's last ``limit`` DAG runs, the latest first, from a connection to Airflow's own database."""
    return fetch(
        airflow,
        DagRun,
        "select dag_id, run_id, state, run_type, start_date, end_date from dag_run"
        # A backfill's runs are due at their dates, which may be years ago.
        " order by coalesce(start_date, queued_at) desc limit %(limit)s",
        {"limit": limit},
    )


def latest_runs(airflow: Connection) -> list[DagRun]:
    """Returns the latest run of each DAG that ran within a day, from a connection to Airflow's own database.

    DAGs that Airflow no longer has, such as the load of a removed contract, are left out, and so are runs that have
    refused their parameters.
    """
    query = """
        select distinct on (dag_id) dag_id, run_id, state, run_type, start_date, end_date
        from dag_run join dag using (dag_id)
        where not is_stale and run_after > now() - interval '1 day' and start_date is not null and not exists (
            select from xcom x where x.dag_id = dag_run.dag_id and x.run_id = dag_run.run_id and x.key = 'refused'
        )
        order by dag_id, start_date desc
    """
    return fetch(airflow, DagRun, query)


def failed_tasks(airflow: Connection, limit: int) -> list[FailedTask]:
    """Returns the tasks that failed in runs of the last week, the latest run first."""
    query = """
        select dag_id, run_id, task_id, try_number, map_index, dag_run.start_date
        from dag_run join task_instance using (dag_id, run_id)
        where dag_run.state = 'failed' and task_instance.state = 'failed'
            and dag_run.start_date > now() - interval '7 days'
        order by dag_run.start_date desc, dag_id, task_id, map_index limit %(limit)s
    """
    return fetch(airflow, FailedTask, query, {"limit": limit})


def backfills(connection: Connection, limit: int) -> list[Backfill]:
    """Returns the last ``limit`` verified backfills, the latest first."""
    query = """
        select first_date, last_date, streams, what, verified_at, holds, proof
        from ops.backfills order by seq desc limit %(limit)s
    """
    return fetch(connection, Backfill, query, {"limit": limit})


def quarantine_reasons(connection: Connection, stream: str | None, limit: int) -> list[QuarantineReason]:
    """Returns quarantined records by stream and kind of reason, the most frequent first; ``None`` is every stream."""
    query = """
        with reasons as (
            select stream, left(kind, %(max_kind)s) as kind, count(*) as records,
                count(*) filter (where discarded) as discarded, min(event_date) as first, max(event_date) as last
            from ops.quarantine
            where %(stream)s::text is null or stream = %(stream)s
            group by 1, 2
        )
        select *, count(*) over () as all_reasons, (sum(records) over ())::bigint as all_records,
            (sum(discarded) over ())::bigint as all_discarded
        from reasons order by records desc, stream, kind limit %(limit)s
    """
    return fetch(connection, QuarantineReason, query, {"stream": stream, "limit": limit, "max_kind": MAX_KIND})


def quarantine_examples(
    connection: Connection, stream: str | None, reasons: int, per_reason: int
) -> list[QuarantinedRecord]:
    """Returns the latest ``per_reason`` records of the most frequent kinds of reason, without discarded ones.

    A record's value and reason are cut to what a page shows of them.
    """
    query = """
        with records as (
            select stream, topic_id, partition, "offset", left(kind, %(max_kind)s) as kind,
                row_number() over latest as rank, count(*) over same as records
            from ops.quarantine
            where not discarded and (%(stream)s::text is null or stream = %(stream)s)
            window same as (partition by stream, left(kind, %(max_kind)s)),
                latest as (same order by loaded_at desc, topic_id, partition, "offset" desc)
        ),
        examples as (
            select *, dense_rank() over (order by records desc, stream, kind) as reason_rank
            from records where rank <= %(per_reason)s
        )
        select e.stream, e.kind, event_date, partition, "offset", left(reason, 1001) as reason,
            substring(value for 601) as value
        from examples e join raw.quarantine using (topic_id, partition, "offset")
        where reason_rank <= %(reasons)s
        order by e.stream, e.kind, rank
    """
    values = {"stream": stream, "reasons": reasons, "per_reason": per_reason, "max_kind": MAX_KIND}
    return fetch(connection, QuarantinedRecord, query, values)
