"""The data flow as nodes: how much each step holds, how far it is behind, how old its data is, and its state."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from urllib.parse import urlencode

from dashboard import formatting
from dashboard.poller import Snapshot
from dashboard.queries import DagRun, Marts, Quarantine, Stream
from sluice.contracts import Contract
from sluice.contracts.schedule import next_time

State = Literal["good", "busy", "warn", "bad", "idle"]
_UNKNOWN_LAG = "lag not known"


@dataclass(frozen=True)
class Node:
    """One step of the flow."""

    id: str
    name: str
    count: str
    unit: str
    lag: str
    """How far the step is behind the one before. Where a lag has no meaning, what stands there instead, in words."""
    age: str
    """How old what it holds is, or when it last did something."""
    state: State
    status: str
    """The state in a word or two."""
    href: str
    moving: bool = False
    """Whether data is arriving at the step."""


@dataclass(frozen=True)
class Loads:
    """What Airflow's loads and transforms are doing."""

    runs: Mapping[str, DagRun]
    """The latest run of each DAG."""
    failure: str = ""
    """Why the runs cannot be read."""

    def failed(self, dag_ids: Iterable[str]) -> list[str]:
        """Returns those of the DAGs whose latest run failed."""
        return [dag_id for dag_id in dag_ids if dag_id in self.runs and self.runs[dag_id].state == "failed"]

    def running(self, dag_ids: Iterable[str]) -> bool:
        """Whether one of the DAGs is running."""
        return any(self.runs[dag_id].state == "running" for dag_id in dag_ids if dag_id in self.runs)


def next_load(contracts: Mapping[str, Contract] | None, now: datetime) -> timedelta | None:
    """Returns the time until the next load of any stream is due; None without a contract."""
    if not contracts:
        return None
    return min(next_time(contract.load.schedule, now) for contract in contracts.values()) - now


def flow(
    snapshot: Snapshot,
    servers: Mapping[str, str | None],
    streams: Sequence[Stream],
    quarantine: Quarantine,
    marts: Marts,
    loads: Loads,
    links: Mapping[str, str],
    behind: timedelta | None,
    now: datetime,
) -> list[Node]:
    """Returns the nodes in the order of the flow; ``live`` and ``quarantine`` are beside it.

    Args:
        snapshot: the latest poll.
        servers: by server, why it counts as down; None while it is up. A server that was not polled yet is missing.
        streams: the streams in the warehouse.
        quarantine: what is open there.
        marts: the tables in the schema of the marts.
        loads: the latest runs of Airflow.
        links: the URLs of ``airflow`` and ``lake``.
        behind: how far the batch is behind in event time; None if it is as far as the events.
        now: the current time.
    """
    kafka, lake, live = (_total(counts) for counts in (snapshot.kafka, snapshot.lake, snapshot.live))
    # The live view reads some of the streams.
    live_streams = {stream for stream, records in (snapshot.live or {}).items() if records}
    live_kafka = _total({stream: n for stream, n in (snapshot.kafka or {}).items() if stream in live_streams})
    loaded, rows = sum(stream.loaded for stream in streams), sum(stream.rows for stream in streams)
    quarantined, pending = (sum(getattr(stream, name) for stream in streams) for name in ("quarantined", "pending"))
    arriving = bool(snapshot.per_second)
    dag_ids = [contract.dag_id for contract in (snapshot.contracts or {}).values()]
    due = next_load(snapshot.contracts, now)
    loaded_at = max((stream.loaded_at for stream in streams if isinstance(stream.loaded_at, datetime)), default=None)
    store = "S3" if "S3" in servers else "MinIO"

    def server(name: str, lag: int | None = 0) -> tuple[State, str]:
        if name not in servers:
            return "idle", "not checked yet"
        if servers[name]:
            return "bad", "down"
        return ("busy", "working") if lag else ("good", "up")

    def job(ids: list[str], waiting: int, idle: str) -> tuple[State, str]:
        if loads.failure or servers.get("Airflow"):
            return "bad", "Airflow is down"
        if failed := loads.failed(ids):
            return "bad", f"{len(failed)} failed" if len(ids) > 1 else "last run failed"
        if loads.running(ids):
            return "busy", "running"
        return ("busy", "waiting") if waiting else ("good", idle)

    rate = snapshot.per_second
    sending: tuple[State, str] = ("good", "sending") if arriving else ("idle", "no new events")
    load_lag, sink_lag, live_lag = _behind(lake, loaded), _behind(kafka, lake), _behind(live_kafka, live)
    empty = "no records yet" if kafka == 0 else "age not known"
    newest = f"last record {formatting.timestamp(snapshot.newest)}" if snapshot.newest else empty
    none_due = _UNKNOWN_LAG if snapshot.contracts is None else "none is due"
    no_age = "age not known" if quarantine.waiting is None else "none yet"
    written = f"last write {formatting.ago(snapshot.written_at, now)}" if snapshot.written_at else "no write seen yet"
    pending_since = min((s.pending_since for s in streams if isinstance(s.pending_since, datetime)), default=None)
    marts_known = bool(behind) or (snapshot.newest is not None and marts.event_time is not None)
    load_runs = f"{links['airflow']}/dags?{urlencode({'tags': 'load'})}"
    return [
        Node(
            "producer",
            "Producer",
            formatting.decimal(rate),
            "events/s",
            # Only the process knows its schedule.
            "first step",
            f"newest event {formatting.timestamp(snapshot.newest)}" if snapshot.newest else empty,
            *sending,
            "/pipeline",
            arriving,
        ),
        Node(
            "kafka",
            "Kafka",
            formatting.count(kafka),
            "records",
            # A record counts as sent once Kafka has it.
            "sent directly",
            newest,
            *server("Kafka"),
            "/pipeline",
            arriving,
        ),
        Node(
            "sink",
            "Sink",
            formatting.count(sink_lag),
            "to write",
            _lag(sink_lag),
            written,
            *server("Sink", sink_lag),
            "/pipeline",
            arriving or bool(sink_lag),
        ),
        Node(
            "lake",
            "Lake",
            formatting.count(lake),
            "records",
            _lag(sink_lag),
            newest if sink_lag == 0 else written,
            *server(store),
            links["lake"],
            bool(sink_lag),
        ),
        Node(
            "load",
            "Load",
            formatting.count(load_lag),
            "to load",
            f"next in {formatting.duration(due)}" if due is not None else none_due,
            f"last {formatting.ago(loaded_at, now)}" if loaded_at else "none yet",
            *job(dag_ids, 0, "on schedule"),
            load_runs,
            loads.running(dag_ids),
        ),
        Node(
            "raw",
            "Raw",
            formatting.count(rows),
            "rows",
            _lag(load_lag),
            f"changed {formatting.ago(loaded_at, now)}" if loaded_at else "no rows yet",
            *server("Postgres"),
            "/pipeline",
            loads.running(dag_ids),
        ),
        Node(
            "transform",
            "Transform",
            formatting.count(pending),
            "dates to rebuild" if pending != 1 else "date to rebuild",
            f"waiting {formatting.about(now - pending_since)}" if pending_since else _lag(pending),
            f"last {formatting.ago(marts.built_at, now)}" if isinstance(marts.built_at, datetime) else "none yet",
            *job(["transform"], pending, "up to date"),
            f"{links['airflow']}/dags/transform",
            loads.running(["transform"]),
        ),
        Node(
            "marts",
            "Marts",
            formatting.count(marts.tables),
            "tables" if marts.tables != 1 else "table",
            f"{formatting.about(behind)} behind" if behind else _lag(0 if marts_known else None),
            f"up to {formatting.timestamp(marts.event_time)}" if marts.event_time else "nothing built yet",
            *server("Postgres"),
            "/dbt",
            loads.running(["transform"]),
        ),
        Node(
            "live",
            "Live view",
            formatting.count(live),
            "records read",
            _lag(live_lag),
            f"last read {formatting.ago(snapshot.read_at, now)}" if snapshot.read_at else "no read seen yet",
            *server("Live view", live_lag),
            "#live",
            arriving,
        ),
        Node(
            "quarantine",
            "Quarantine",
            formatting.count(quarantined),
            "records",
            "too many to count" if quarantine.waiting is None else f"{formatting.count(quarantine.waiting)} to decide",
            f"last {formatting.ago(quarantine.loaded_at, now)}" if quarantine.loaded_at else no_age,
            *_quarantine_state(quarantined, quarantine.waiting),
            "/quarantine",
        ),
    ]


@dataclass(frozen=True)
class Status:
    """Whether anything is wrong, and how far the batch is."""

    problems: tuple[str, ...]
    progress: str


def status(
    snapshot: Snapshot,
    servers: Mapping[str, str | None],
    loads: Loads,
    open_alerts: int,
    behind: timedelta | None,
    waiting: int,
    now: datetime,
) -> Status:
    """Returns the status line: problems first, then how far the batch is behind and when the next load is due.

    Args:
        snapshot: the latest poll.
        servers: by server, why it counts as down; None while it is up.
        loads: the latest runs of Airflow.
        open_alerts: how many alerts are open.
        behind: how far the batch is behind in event time; None if it is as far as the events.
        waiting: records that are not loaded yet.
        now: the current time.
    """
    problems = [f"{name} is down" for name, failure in servers.items() if failure]
    invalid = len(snapshot.invalid_contracts)
    if invalid:
        problems.append(f"{invalid} {'contract is' if invalid == 1 else 'contracts are'} not valid")
    problems += [f"the latest run of {dag_id} failed" for dag_id in loads.failed(loads.runs)]
    if open_alerts:
        problems.append(f"{open_alerts} {'alert is' if open_alerts == 1 else 'alerts are'} open")
    dag_ids = [contract.dag_id for contract in (snapshot.contracts or {}).values()]
    due = next_load(snapshot.contracts, now)
    if loads.running(["transform"]):
        coming = "the marts are being rebuilt"
    elif loads.running(dag_ids):
        coming = "a load is running"
    else:
        coming = f"next load in {formatting.duration(due)}" if due is not None and not loads.failure else ""
    if behind:
        batch = f"Batch is {formatting.about(behind)} of event time behind"
    elif waiting:
        batch = f"Batch is {formatting.count(waiting)} records behind"
    else:
        batch = "Batch is up to date"
    return Status(tuple(problems), f"{'; '.join(filter(None, (batch, coming)))}.")


def pace(snapshot: Snapshot) -> str:
    """Returns how fast events arrive, as the end of a sentence about them; empty while that is not known."""
    if snapshot.per_second is None:
        return ""
    if not snapshot.per_second:
        return ", no new ones at the moment"
    if snapshot.speed is None or snapshot.speed < 2:
        return f", arriving at {formatting.decimal(snapshot.per_second)} events per second"
    return f", replayed at about {formatting.rounded(snapshot.speed)} times real speed"


def event_time_behind(snapshot: Snapshot, marts: Marts) -> timedelta | None:
    """Returns how far the marts' newest event time is behind the one that arrives; None if they are as far."""
    if snapshot.newest is None or not isinstance(marts.event_time, datetime):
        return None
    behind = snapshot.newest - marts.event_time
    return behind if behind >= timedelta(minutes=1) else None


def waiting_records(snapshot: Snapshot, streams: Sequence[Stream]) -> int:
    """Returns how many records in Kafka no load has read yet."""
    return sum(max((snapshot.kafka or {}).get(stream.stream, 0) - stream.loaded, 0) for stream in streams)


def _total(counts: Mapping[str, int] | None) -> int | None:
    return None if counts is None else sum(counts.values())


def _behind(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else max(before - after, 0)


def _lag(records: int | None) -> str:
    if records is None:
        return _UNKNOWN_LAG
    return f"{formatting.count(records)} behind" if records else "up to date"


def _quarantine_state(records: int, waiting: int | None) -> tuple[State, str]:
    if waiting is None or waiting:
        return "warn", "to look at"
    return "good", "all discarded" if records else "empty"
