"""Commands of the second warehouse, for ``sluice.lakehouse.process``: load, build, dbt, reconcile and checksums."""

import argparse
import fcntl
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import date

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from sluice.contracts import Contracts, get_contract, load_contracts
from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.lakehouse.process import OUTPUT, TERMINAL, TRANSIENT
from sluice.lakehouse.spark import checksum, models
from sluice.lakehouse.spark.load import load, reload
from sluice.lakehouse.spark.reconcile import reconcile
from sluice.lakehouse.spark.session import session
from sluice.settings import Settings, load_settings

SPARK_ERRORS = (Py4JError, PySparkException)


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
    commands.add_parser("reconcile", help="count every offset of lake and warehouse; print the counts as JSON")
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
    except SPARK_ERRORS as error:
        # Spark's messages have the stack of every process on the lines after the first. Some have no text.
        message = str(error).strip().partition("\n")[0] or type(error).__name__
        return _report(TerminalError(message, "see `make logs S=spark-worker-1`"))
    return 0


def _report(error: SluiceError) -> int:
    print(f"lakehouse: {error}", file=sys.stderr, flush=True)
    return TRANSIENT if isinstance(error, TransientError) else TERMINAL


def _run(arguments: argparse.Namespace) -> None:
    settings = load_settings()
    contracts = load_contracts(settings.contracts)
    alone = arguments.command != "checksums"
    with _lock(settings) if alone else nullcontext(), session(settings, f"sluice {arguments.command}") as spark:
        match arguments.command:
            case "load" | "reload":
                _load(spark, settings, contracts, arguments)
            case "build":
                published = models.build(spark, settings, contracts)
                _print(f"published {len(published)} marts: {', '.join(published)}")
            case "dbt":
                models.run_dbt(spark, settings, contracts, arguments.arguments)
            case "reconcile":
                for stream in contracts:
                    for counts in reconcile(spark, settings, get_contract(contracts, stream)):
                        _print(json.dumps(counts))
            case "checksums":
                found = checksum.marts(spark, settings, arguments.first, arguments.last)
                for mart, days in found.items():
                    for day, value in days.items():
                        _print(json.dumps([mart, day and day.isoformat(), value.rows, value.hash]))


@contextmanager
def _lock(settings: Settings) -> Iterator[None]:
    """Keeps out other programs that write or count: two plans of a load would have the same number."""
    folder = settings.home / "spark"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TransientError(
                "another load or build of Spark's warehouse is running", "wait until it ends"
            ) from None
        yield


def _load(spark: SparkSession, settings: Settings, contracts: Contracts, arguments: argparse.Namespace) -> None:
    """Loads each stream; one that fails costs itself alone, and its error is reported last."""
    errors: list[Exception] = []
    for stream in arguments.stream or contracts:
        try:
            contract = get_contract(contracts, stream)
            report = load(spark, settings, contract)
            if arguments.command == "reload":
                report = reload(spark, settings, contract, arguments.day)
        except (SluiceError, *SPARK_ERRORS) as error:
            print(f"{stream}: {error}", file=sys.stderr, flush=True)
            errors.append(error)
            continue
        counts = f"{report.rows:,} rows loaded, {report.quarantined:,} quarantined"
        _print(f"{stream}: {counts} ({report.seconds:.1f} s)")
    if errors:
        raise errors[0]


def _print(text: str) -> None:
    print(f"{OUTPUT}{text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
