"""``python -m tests.soak.service NAME``: runs a service whose way to the broker or the store leads through a proxy.

The supervisor of a soak's platform runs this in place of ``python -m infra NAME``.
"""

import sys
from dataclasses import replace

from infra.processes.environment import leave_shell
from infra.servers import kafka
from infra.servers.service import Service, exec_service
from infra.servers.services import SINK, find_service
from sluice.settings import LOOPBACK, Settings, file_variables, load_settings

OTHER_SINK = "other-sink"
"""A sink beside the platform's own, which joins its group and leaves it."""
STORE_PORT, BROKER_PORT, LISTENER_PORT = "SOAK_STORE_PORT", "SOAK_BROKER_PORT", "SOAK_LISTENER_PORT"
"""Lines of the settings file: the ports of both proxies, and that of the broker's listener behind the second."""
_STORE_CLIENTS = (SINK.name, OTHER_SINK, "airflow-scheduler")
_BROKER_CLIENTS = (SINK.name, OTHER_SINK, "live")


def main(name: str) -> None:
    """Execs the service."""
    leave_shell()
    settings = load_settings()
    ports = {variable: int(value) for variable, value in file_variables("SOAK_").items()}
    exec_service(_service(name, settings, ports), _rewired(name, settings, ports))


def _service(name: str, settings: Settings, ports: dict[str, int]) -> Service:
    if name == OTHER_SINK:
        return replace(SINK, name=OTHER_SINK)
    service = find_service(name, settings)
    assert service is not None
    if name == kafka.KAFKA.name:
        return replace(service, prepare=lambda settings: _prepare_kafka(settings, ports))
    return service


def _rewired(name: str, settings: Settings, ports: dict[str, int]) -> Settings:
    changed: dict[str, int] = {}
    if name in _STORE_CLIENTS:
        changed["minio_port"] = ports[STORE_PORT]
    if name in _BROKER_CLIENTS:
        changed["kafka_port"] = ports[BROKER_PORT]
    if name == OTHER_SINK:
        changed["sink_port"] = 0
    return settings.model_copy(update=changed)


def _prepare_kafka(settings: Settings, ports: dict[str, int]) -> None:
    """Adds a listener whose advertised address is the proxy's: who connects there is sent there for every request."""
    kafka.prepare(settings)
    file = settings.home / "kafka" / "server.properties"
    listener, proxy = (f"PROXIED://{LOOPBACK}:{ports[name]}" for name in (LISTENER_PORT, BROKER_PORT))
    added = {
        "listeners": f",{listener}",
        "advertised.listeners": f",{proxy}",
        "listener.security.protocol.map": ",PROXIED:PLAINTEXT",
    }
    lines = [f"{line}{added.get(line.partition('=')[0], '')}" for line in file.read_text().splitlines()]
    file.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
