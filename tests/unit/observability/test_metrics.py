"""What the sink and the live view serve is what the reference describes."""

import httpx
import pytest
from prometheus_client import CollectorRegistry

from sluice.live.metrics import Metrics as LiveMetrics
from sluice.service.endpoint import serve
from sluice.settings import LOOPBACK
from sluice.sink.metrics import Metrics as SinkMetrics
from tests.fixtures.metrics_page import described, served


@pytest.mark.parametrize(
    ("service", "registry"), [("Sink", SinkMetrics().registry), ("Live view", LiveMetrics().registry)]
)
def test_the_reference_describes_what_the_end_point_serves(service: str, registry: CollectorRegistry) -> None:
    server = serve(LOOPBACK, 0, "SLUICE_PORT", registry, {})
    try:
        text = httpx.get(f"http://{LOOPBACK}:{server.server_port}/metrics", trust_env=False).text
    finally:
        server.shutdown()
        server.server_close()
    assert served(text) == described(service).keys()
    assert "process_resident_memory_bytes" in text
    for family, labels in described(service).items():
        collector = registry._names_to_collectors[family.name]
        # The labels of an info are its values.
        assert family.name.endswith("_info") or tuple(collector._labelnames) == labels, family.name  # type: ignore[attr-defined]
