"""The sink's Prometheus metrics."""

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector

from sluice.kafka.groups import SINK_GROUP_METRIC


class Metrics:
    """The metrics of one sink, in their own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        stream, partition = ["stream"], ["stream", "partition"]
        # The dashboard learns from it which group's offsets are the lake's.
        self.group = Info(SINK_GROUP_METRIC, "The consumer group of this lake's sinks.", registry=self.registry)
        self.events = self._make(Counter, "sluice_sink_events", "Records committed to the lake.", stream)
        self.bytes = self._make(Counter, "sluice_sink_bytes", "In-memory bytes of committed records.", stream)
        self.fenced = self._make(
            Counter,
            "sluice_sink_refused",
            "Chunks that were fenced because another writer took over the partition.",
            stream,
        )
        self.retries = self._make(Counter, "sluice_sink_retries", "Failed commits, which are retried.", stream)
        self.flush = self._make(Histogram, "sluice_sink_flush_seconds", "Duration of a commit in seconds.", stream)
        self.age = self._make(Gauge, "sluice_sink_batch_age_seconds", "Age of the oldest uncommitted record.", stream)
        self.buffered = self._make(
            Gauge, "sluice_sink_buffered_bytes", "In-memory bytes of uncommitted records.", stream
        )
        self.lag = self._make(
            Gauge, "sluice_sink_lag_offsets", "Offsets in Kafka that are not in the lake yet.", partition
        )
        self.behind = self._make(
            Gauge, "sluice_sink_lag_seconds", "Time since Kafka ended where the lake ends now.", partition
        )
        # Adds memory, CPU time and open files of the process.
        ProcessCollector(registry=self.registry)

    def _make(self, metric_type: Any, name: str, help_text: str, labels: list[str]) -> Any:
        return metric_type(name, help_text, labels, registry=self.registry)
