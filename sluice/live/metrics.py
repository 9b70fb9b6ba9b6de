"""The live view's Prometheus metrics."""

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector


class Metrics:
    """The metrics of one live view, in their own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        stream = ["stream"]
        self.events = self._make(Counter, "sluice_live_events", "Records applied to the live view.", stream)
        self.skipped = self._make(Counter, "sluice_live_skipped", "Records that could not be applied.", stream)
        self.retries = self._make(Counter, "sluice_live_retries", "Restarts after a server was down.", [])
        self.apply = self._make(Histogram, "sluice_live_apply_seconds", "Duration of a transaction in seconds.", [])
        self.newest = self._make(
            Gauge, "sluice_live_record_timestamp_seconds", "Timestamp of the last record that was read.", stream
        )
        # Adds memory, CPU time and open files of the process.
        ProcessCollector(registry=self.registry)

    def _make(self, metric_type: Any, name: str, help_text: str, labels: list[str]) -> Any:
        return metric_type(name, help_text, labels, registry=self.registry)
