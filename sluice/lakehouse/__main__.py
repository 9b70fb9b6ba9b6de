"""Commands of the second warehouse, for ``sluice.lakehouse.process``: load, build, dbt and checksums."""

import argparse
import json
import logging
import sys
from datetime import date

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

from sluice.contracts import get_contract, load_contracts
from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.lakehouse.process import OUTPUT, TERMINAL, TRANSIENT
from sluice.settings import load_settings


def main() -> int:
    """Runs the command that the arguments name; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m sluice.lakehouse", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("load", help="load the lake").add_argument("--stream", action="append", help="only this stream")
    reloads = commands.add_parser("reload", help="load one date of the lake again")
    reloads.add_argument("day", type=date.fromisoformat)
    reloads.add_argument("--stream", action="append", help="only this stream")
    commands.add_parser("build", help="build, test and publish the marts")
    commands.add_parser("dbt", help="run dbt").add_argument("arguments", nargs=argparse.REMAINDER)
    checksums = commands.add_parser("checksums", help="print the published marts' checksums per date, as JSON")
    checksums.add_argument("first", type=date.fromisoformat)
    checksums.add_argument("last", type=date.fromisoformat)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for noisy in ("py4j", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        _run(arguments)
    except SluiceError as error:
        return _report(error)
    except (Py4JError, PySparkException) as error:
        # Spark's messages have the stack of every process on the lines after the first.
        return _report(TerminalError(str(error).strip().partition("\n")[0], "see `make logs S=spark-worker-1`"))
    return 0


def _report(error: SluiceError) -> int:
    print(f"lakehouse: {error}", file=sys.stderr, flush=True)
    return TRANSIENT if isinstance(error, TransientError) else TERMINAL


def _run(arguments: argparse.Namespace) -> None:
    # Imported here because they import Spark.
    from sluice.lakehouse.spark import checksum, models
    from sluice.lakehouse.spark.load import load, reload
    from sluice.lakehouse.spark.session import session

    settings = load_settings()
    contracts = load_contracts(settings.contracts)
    with session(settings, f"sluice {arguments.command}") as spark:
        match arguments.command:
            case "load" | "reload":
                for stream in arguments.stream or contracts:
                    contract = get_contract(contracts, stream)
                    report = load(spark, settings, contract)
                    if arguments.command == "reload":
                        report = reload(spark, settings, contract, arguments.day)
                    _print(
                        f"{stream}: {report.rows:,} rows loaded, {report.quarantined:,} quarantined"
                        f" ({report.seconds:.1f} s)"
                    )
            case "build":
                published = models.build(spark, settings, contracts)
                _print(f"published {len(published)} marts: {', '.join(published)}")
            case "dbt":
                models.build(spark, settings, contracts, *arguments.arguments)
            case "checksums":
                found = checksum.marts(spark, settings, arguments.first, arguments.last)
                for mart, days in found.items():
                    for day, value in days.items():
                        _print(json.dumps([mart, day and day.isoformat(), value.rows, value.hash]))


def _print(text: str) -> None:
    print(f"{OUTPUT}{text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
