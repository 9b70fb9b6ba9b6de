"""The producer's commands: ``python -m producers replay``, ``live`` and ``send``."""

import argparse
import gc
import math
import signal
import sys
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from sluice.errors import SluiceError, TerminalError

if TYPE_CHECKING:
    from producers.fault_injection import Faults
    from sluice.contracts import Contracts
    from sluice.settings import Settings

_CONTRACTS_SECONDS = 2.0
"""Interval between checks of contracts that are not valid."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise TerminalError(message, f"see `python -m {self.prog} --help`")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; a known error is one line on stderr and exit code 1, and so is Ctrl-C, with 130."""
    try:
        options = _parser().parse_args(arguments)
        commands = {"live": _live, "replay": _replay, "send": _send}
        return commands[options.command](options)
    except SluiceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        # While a file or the data set is read; later, signals end the sending (``Stop``).
        print("stopped by SIGINT", file=sys.stderr)
        return 128 + signal.SIGINT


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="producers", description="Send events to Kafka: the flights and weather of 2013, or those of a file."
    )
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    commands.add_parser("live", help="continue after the last replay, at 600 times real speed, to the end of the year")
    replay = commands.add_parser("replay", help="send a range of dates")
    add = replay.add_argument
    add("--from", dest="first", required=True, metavar="DATE", help="first local date, such as 2013-01-01")
    add("--to", dest="last", required=True, metavar="DATE", help="last local date, inclusive")
    add("--copies", default="1", metavar="K", help="send each flight as K distinct flights")
    add("--streams", default="", metavar="A,B", help="send only these streams; default: all")
    _add_faults(replay)
    send = commands.add_parser("send", help="send the events of a file")
    add = send.add_argument
    add("--stream", required=True, help="the stream, whose contract has the topic, the key and the event time")
    add("--file", required=True, help="JSON Lines, a JSON list, GeoJSON, CSV or Parquet")
    _add_faults(send)
    return parser


def _add_faults(parser: argparse.ArgumentParser) -> None:
    """Adds the options of commands that send a file's or a range's events, at a pace and with faults."""
    add = parser.add_argument
    add(
        "--speed",
        default="0",
        metavar="F",
        help="seconds of event time per second; 0, the default: as fast as possible",
    )
    add("--late", default="0", metavar="SHARE[:HOURS]", help="share of events sent late, by up to HOURS (default: 24)")
    add("--duplicates", default="0", metavar="SHARE", help="share of events sent twice")
    add("--corrupt", default="0", metavar="SHARE", help="share of events also sent as invalid JSON")
    add("--invalid", default="0", metavar="SHARE", help="share of events also sent as JSON that violates the contract")
    add("--seed", default="0", metavar="N", help="seed of the faults: the same seed injects the same faults")


def _replay(options: argparse.Namespace) -> int:
    # Imported here, so that --help and invalid options do not wait for the imports of Arrow and Kafka.
    from producers.flights.replay import Replay, replay
    from producers.flights.streams import STREAMS
    from producers.position import Positions
    from sluice.contracts import load_contracts
    from sluice.settings import load_settings

    request = Replay(
        first=_date("from", options.first),
        last=_date("to", options.last),
        speed=_speed(options),
        streams=tuple(name.strip() for name in options.streams.split(",") if name.strip()) or STREAMS,
        copies=_integer("copies", options.copies),
        faults=_faults(options),
    )
    _collect_garbage_rarely()
    settings = load_settings()
    return replay(request, settings, load_contracts(settings.contracts), Positions(settings.home), _print_line)


def _send(options: argparse.Namespace) -> int:
    from producers.files.send import Send, send
    from sluice.contracts import get_contract, load_contracts
    from sluice.settings import load_settings

    request = Send(Path(options.file), _speed(options), _faults(options))
    _collect_garbage_rarely()
    settings = load_settings()
    return send(request, settings, get_contract(load_contracts(settings.contracts), options.stream), _print_line)


def _collect_garbage_rarely() -> None:
    # Events in flight are not garbage: scanning them after every 700 new objects would cost a fifth of the rate.
    gc.set_threshold(50_000)


def _live(_: argparse.Namespace) -> int:
    from producers.flights.live import live
    from producers.position import Positions
    from sluice.settings import load_settings

    settings = load_settings()
    return live(settings, _wait_for_contracts(settings), Positions(settings.home), _print_line)


def _wait_for_contracts(settings: "Settings") -> "Contracts":
    """Returns the contracts once those of the flights are valid: until then, no event is skipped and none is lost."""
    from producers.flights.streams import STREAMS
    from sluice.contracts import load_contracts

    reported: list[str] = []
    while True:
        contracts = load_contracts(settings.contracts)
        problems = [f"waiting: {file.error()}" for file in contracts.invalid if file.stream in STREAMS]
        if not problems:
            return contracts
        if problems != reported:
            for problem in problems:
                _print_line(problem)
            reported = problems
        time.sleep(_CONTRACTS_SECONDS)


def _faults(options: argparse.Namespace) -> "Faults":
    from producers.fault_injection import Faults

    share, _, hours = options.late.partition(":")
    return Faults(
        late=_number("late", share),
        late_hours=_number("late", hours) if hours else Faults.late_hours,
        duplicates=_number("duplicates", options.duplicates),
        corrupt=_number("corrupt", options.corrupt),
        invalid=_number("invalid", options.invalid),
        seed=_integer("seed", options.seed),
    )


def _speed(options: argparse.Namespace) -> float:
    speed = _number("speed", options.speed)
    if speed < 0:
        raise TerminalError(
            f"speed: {options.speed} is negative", "give 0 for as fast as possible, or a positive number"
        )
    return speed


def _date(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise TerminalError(f"{option}: {text!r} is not a date", "write it as 2013-01-31") from None


def _number(option: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise TerminalError(f"{option}: {text!r} is not a number", "write it as 0.05")
    return number


def _integer(option: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise TerminalError(f"{option}: {text!r} is not an integer", "write it as 3") from None


def _print_line(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
