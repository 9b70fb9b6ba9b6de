"""What an event-driven schedule would do: a load is triggered whenever the lake has got further than the last one."""

from collections.abc import Mapping

from sluice.contracts import load_contracts
from sluice.orchestration.rest import Airflow, new_run_id
from sluice.settings import Settings

ENDED = {"success", "failed"}
"""The states in which a run remains."""


class Announcer:
    """Triggers the loads of streams whose lake tables have new records, one run per stream at a time."""

    def __init__(self, settings: Settings) -> None:
        self._airflow = Airflow(settings)
        self._dag_ids = {contract.stream: contract.dag_id for contract in load_contracts(settings.contracts).values()}
        self._announced: dict[str, int] = {}
        self._runs: dict[str, str] = {}
        self.triggered = 0

    def announce(self, records: Mapping[str, int]) -> None:
        """Triggers the loads of the streams with more records than at the last trigger, by the records per stream."""
        for stream, count in records.items():
            if count > self._announced.get(stream, 0) and not self._is_active(stream):
                dag_id, run_id = self._dag_ids[stream], new_run_id()
                self._airflow.trigger(dag_id, run_id)
                self._announced[stream], self._runs[stream] = count, run_id
                self.triggered += 1

    def close(self) -> None:
        """Closes the connections to Airflow."""
        self._airflow.close()

    def _is_active(self, stream: str) -> bool:
        run_id = self._runs.get(stream)
        return run_id is not None and self._airflow.run(self._dag_ids[stream], run_id)["state"] not in ENDED
