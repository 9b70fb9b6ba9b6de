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

MAX_COPIES = 100
"""Copies of each flight: a year of them is 34 million flights, which take an hour to send."""
MAX_SPEED = 1_000_000
"""Seconds of event time per second: a year takes half a minute, which is about as fast as possible."""
MAX_LATE_HOURS = 24 * 366
"""The longest delay of a late event: the length of the data."""
MAX_SEED = 2**63 - 1
_REPLAY_EXAMPLE = "make replay FROM=2013-02-01 TO=2013-02-03"
_SEND_EXAMPLE = "make send STREAM=quakes.reported FILE=quakes.json"
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
        print(f"sluice: {error}", file=sys.stderr)
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
    add("--from", dest="first", default="", metavar="DATE", help="first local date, such as 2013-01-01")
    add("--to", dest="last", default="", metavar="DATE", help="last local date, inclusive")
    add("--copies", default="1", metavar="K", help=f"send each flight as K distinct flights, at most {MAX_COPIES}")
    add("--streams", default="", metavar="A,B", help="send only these streams; default: all with a valid contract")
    add("--resume", action="store_true", help="send only the events that Kafka does not have yet; without faults")
    _add_faults(replay)
    send = commands.add_parser("send", help="send the events of a file")
    add = send.add_argument
    add("--stream", default="", help="the stream, whose contract has the topic, the key and the event time")
    add("--file", default="", help="JSON Lines, a JSON list, GeoJSON, CSV or Parquet")
    _add_faults(send)
    return parser


def _add_faults(parser: argparse.ArgumentParser) -> None:
    """Adds the options of commands that send a file's or a range's events, at a pace and with faults."""
    add = parser.add_argument
    add(
        "--speed",
        default="0",
        metavar="F",
        help=f"seconds of event time per second, 1 to {MAX_SPEED}; 0, the default: as fast as possible",
    )
    add("--late", default="0", metavar="SHARE[:HOURS]", help="share of events sent late, by up to HOURS (default: 24)")
    add("--duplicates", default="0", metavar="SHARE", help="share of events sent twice")
    add("--corrupt", default="0", metavar="SHARE", help="share of events also sent as invalid JSON")
    add("--invalid", default="0", metavar="SHARE", help="share of events also sent as JSON that violates the contract")
    add("--seed", default="0", metavar="N", help="seed of the faults: the same seed injects the same faults")


def _replay(options: argparse.Namespace) -> int:
    # Imported here, so that --help and invalid options do not wait for the imports of Arrow and Kafka.
    _require(_REPLAY_EXAMPLE, FROM=options.first, TO=options.last)
    from producers.flights.replay import Replay, replay
    from producers.position import Positions
    from sluice.contracts import load_contracts
    from sluice.settings import load_settings

    request = Replay(
        first=_date("FROM", options.first),
        last=_date("TO", options.last),
        speed=_speed(options),
        streams=_streams(options.streams),
        copies=_integer("COPIES", options.copies, 1, MAX_COPIES),
        faults=_faults(options),
        resume=options.resume,
    )
    if request.resume and request.faults.added + request.faults.late:
        raise TerminalError("--resume and faults exclude each other", "leave out one of them")
    _collect_garbage_rarely()
    settings = load_settings()
    return replay(request, settings, load_contracts(settings.contracts), Positions(settings.home), _print_line)


def _send(options: argparse.Namespace) -> int:
    _require(_SEND_EXAMPLE, STREAM=options.stream, FILE=options.file)
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
        late=_share("LATE", share),
        late_hours=_late_hours(hours) if hours else Faults.late_hours,
        duplicates=_share("DUPLICATES", options.duplicates),
        corrupt=_share("CORRUPT", options.corrupt),
        invalid=_share("INVALID", options.invalid),
        seed=_integer("SEED", options.seed, 0, MAX_SEED),
    )


def _require(example: str, **values: str) -> None:
    missing = [name for name, value in values.items() if not value.strip()]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise TerminalError(f"{' and '.join(missing)} {verb} missing", f"for example `{example}`")


def _share(variable: str, text: str) -> float:
    share = _number(variable, text)
    if not 0 <= share <= 1:
        raise TerminalError(f"{variable}={text} is not a share of the events", "give a number from 0 to 1, as in 0.05")
    return share


def _late_hours(text: str) -> float:
    hours = _number("LATE", text)
    if not 0 < hours <= MAX_LATE_HOURS:
        raise TerminalError(
            f"LATE: {text} hours is out of range",
            f"give more than 0 and at most {MAX_LATE_HOURS:,} hours, as in 0.05:24",
        )
    return hours


def _speed(options: argparse.Namespace) -> float:
    speed = _number("SPEED", options.speed)
    if speed and not 1 <= speed <= MAX_SPEED:
        raise TerminalError(
            f"SPEED={options.speed} is out of range",
            f"give 0 for as fast as possible, or a number from 1 (real time) to {MAX_SPEED:,}",
        )
    return speed


def _date(variable: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise TerminalError(f"{variable}={text} is not a date", "write it as 2013-01-31") from None


def _number(variable: str, text: str) -> float:
    try:
        number = float(_plain(text))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise TerminalError(f"{variable}={text} is not a number", "write it as 0.05")
    return number


def _integer(variable: str, text: str, low: int, high: int) -> int:
    try:
        number = int(_plain(text))
    except ValueError:
        raise TerminalError(f"{variable}={text} is not a whole number", "write it as 3") from None
    if not low <= number <= high:
        raise TerminalError(f"{variable}={text} is out of range", f"give a number from {low:,} to {high:,}")
    return number


def _plain(text: str) -> str:
    """Returns a number's text, unless only Python would read it as one: 1_000, or the digits of another script."""
    if "_" in text or not text.isascii():
        raise ValueError(text)
    return text


def _streams(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if text and not names:
        raise TerminalError(
            f"STREAMS={text} names no stream", "write them as STREAMS=flights.departed,weather.observed"
        )
    return names


def _print_line(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
