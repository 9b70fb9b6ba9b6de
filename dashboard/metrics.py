"""Prometheus metrics of what has no end point of its own: loads, transforms, quarantine, alerts, runs and the disk.

A load or a transform ends before it could be scraped; its figures are in the warehouse, which is read on each scrape.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import LiteralString

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from dashboard.database import Connection, Reader
from dashboard.poller import Snapshot
from sluice.errors import SluiceError
from sluice.settings import Settings


@dataclass(frozen=True)
class Table:
    """A query, and the families of metrics in its columns."""

    label: str
    """The name of the label whose value is in the first column."""
    query: LiteralString
    families: tuple[tuple[type[CounterMetricFamily | GaugeMetricFamily], str, str], ...]
    """Type, name and help text of each further column. A null is left out."""

    def read(self, connection: Connection) -> Iterator[Metric]:
        """Yields each family."""
        rows = connection.execute(self.query).fetchall()
        for column, (family_type, name, text) in enumerate(self.families, start=1):
            family = family_type(name, text, labels=[self.label])
            for row in rows:
                if row[column] is not None:
                    family.add_metric([str(row[0])], float(row[column]))
            yield family


WAREHOUSE = (
    Table(
        "stream",
        "select stream, sum(next_offset), sum(rows), sum(quarantined), extract(epoch from max(loaded_at))"
        " from ops.ledger_ends group by 1",
        (
            (CounterMetricFamily, "sluice_load_offsets", "Offsets that loads have covered."),
            (CounterMetricFamily, "sluice_load_rows", "Records that loads have written as rows."),
            (CounterMetricFamily, "sluice_load_quarantined", "Records that loads have found invalid."),
            (GaugeMetricFamily, "sluice_load_timestamp_seconds", "When new records were last loaded."),
        ),
    ),
    Table(
        "stream",
        "select stream, sum(quarantined), coalesce(sum(duplicates), 0), sum(late) from ops.dates group by 1",
        (
            (GaugeMetricFamily, "sluice_quarantine_records", "Records in quarantine."),
            (GaugeMetricFamily, "sluice_duplicate_rows", "Rows that repeat another event."),
            (GaugeMetricFamily, "sluice_late_rows", "Rows that arrived late."),
        ),
    ),
    Table(
        "stream",
        "select stream, extract(epoch from watermark) from ops.watermarks",
        ((GaugeMetricFamily, "sluice_watermark_timestamp_seconds", "Event time up to which all events have arrived."),),
    ),
    Table(
        "stream",
        "select stream, count(distinct event_date), coalesce(extract(epoch from now() - min(changed_at)), 0)"
        " from ops.streams left join (select * from ops.stale_dates where built_at is null) stale using (stream)"
        " group by 1",
        (
            (GaugeMetricFamily, "sluice_stale_dates", "Dates whose marts do not show their last change."),
            (GaugeMetricFamily, "sluice_stale_age_seconds", "How long the oldest of these dates has been stale."),
        ),
    ),
    Table(
        "kind",
        "select kind, count(*) from ops.alerts where cleared_at is null group by 1",
        ((GaugeMetricFamily, "sluice_alerts", "Open alerts."),),
    ),
    Table(
        "channel",
        "select channel, count(*) from ops.alert_messages group by 1",
        ((GaugeMetricFamily, "sluice_alert_messages", "Messages that a channel has not taken yet."),),
    ),
    Table(
        "view",
        "select 'live', extract(epoch from now() - seen_at) from live.heartbeat",
        ((GaugeMetricFamily, "sluice_live_heartbeat_age_seconds", "Time since the live view last reported."),),
    ),
)
AIRFLOW = (
    Table(
        "dag",
        "select dag_id, extract(epoch from max(end_date) filter (where state = 'success')),"
        " (array_agg(extract(epoch from end_date - start_date) order by end_date desc)"
        " filter (where end_date is not null))[1],"
        " (array_agg((state = 'failed')::integer order by end_date desc) filter (where end_date is not null))[1],"
        " count(*) filter (where state in ('queued', 'running'))"
        " from dag_run join dag using (dag_id) where not is_stale group by 1",
        (
            (GaugeMetricFamily, "sluice_dag_success_timestamp_seconds", "When a run of the DAG last succeeded."),
            (GaugeMetricFamily, "sluice_dag_run_seconds", "Duration of the DAG's last run."),
            (GaugeMetricFamily, "sluice_dag_failed", "Whether the DAG's last run failed."),
            (GaugeMetricFamily, "sluice_dag_active_runs", "Runs that are queued or running."),
        ),
    ),
)


class PlatformCollector(Collector):
    """Reads the metrics when they are asked for. Those of a server that is down are left out."""

    def __init__(
        self, settings: Settings, snapshot: Callable[[], Snapshot], warehouse: Reader, airflow: Reader
    ) -> None:
        """Reads nothing yet.

        Args:
            settings: of the platform.
            snapshot: returns the latest poll of the servers.
            warehouse: connections to the warehouse.
            airflow: connections to Airflow's database.
        """
        self._settings = settings
        self._snapshot = snapshot
        self._sources = ((warehouse, WAREHOUSE), (airflow, AIRFLOW))

    def collect(self) -> Iterator[Metric]:
        """Yields each family of metrics."""
        snapshot = self._snapshot()
        servers = {name: problem is None for name, problem in snapshot.servers.items()}
        families: list[Metric] = []
        try:
            for source, tables in self._sources:
                with source.connection() as connection:
                    families += [family for table in tables for family in table.read(connection)]
            servers["Postgres"] = True
        except SluiceError:
            servers["Postgres"] = False
        up = GaugeMetricFamily("sluice_up", "Whether a server is up.", labels=["server"])
        for name, answers in servers.items():
            up.add_metric([name], answers)
        yield up
        yield from families
        yield _stages(snapshot)
        contracts = len(snapshot.invalid_contracts)
        yield GaugeMetricFamily("sluice_invalid_contracts", "Files that are not valid contracts.", contracts)
        disk = shutil.disk_usage(self._settings.home)
        yield GaugeMetricFamily("sluice_disk_free_bytes", "Free space of the disk of SLUICE_HOME.", disk.free)
        yield GaugeMetricFamily("sluice_disk_size_bytes", "Size of the disk of SLUICE_HOME.", disk.total)


def exposition(collector: Collector) -> bytes:
    """Returns a collector's metrics as Prometheus reads them."""
    registry = CollectorRegistry()
    registry.register(collector)
    return generate_latest(registry)


def _stages(snapshot: Snapshot) -> Metric:
    family = GaugeMetricFamily("sluice_stage_records", "Records that have reached a stage.", labels=["stream", "stage"])
    for stage, counts in (("kafka", snapshot.kafka), ("lake", snapshot.lake), ("live", snapshot.live)):
        for stream, count in (counts or {}).items():
            family.add_metric([stream, stage], count)
    return family
