"""This load, as an Airflow task runs it: a process that imports, connects and loads one stream."""

from bench.load.contestants.spec import READING
from bench.servers import STREAM
from sluice.contracts import load_contracts
from sluice.load import load
from sluice.settings import load_settings


def main() -> None:
    """Loads all events of the lake."""
    settings = load_settings()
    contract = load_contracts(settings.contracts)[STREAM]
    print(READING, flush=True)
    load(settings, contract)


if __name__ == "__main__":
    main()
