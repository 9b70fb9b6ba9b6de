"""The producer's commands: ``python -m producers replay`` and ``python -m producers live``."""

import argparse
import gc
import math
import sys
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, NoReturn

from sluice.errors import SluiceError, TerminalError

if TYPE_CHECKING:
    from producers.fault_injection import Faults


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise TerminalError(message, f"see `python -m {self.prog} --help`")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; a known fault is one line on stderr and exit code 1."""
    try:
        asked = _parser().parse_args(arguments)
        return _live() if asked.command == "live" else _replay(asked)
    except SluiceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="producers", description="Sends the flights and weather of 2013 to Kafka.")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    commands.add_parser("live", help="go on after what was replayed, at 600 times real speed, to the end of the year")
    replay = commands.add_parser("replay", help="send a range of dates")
    add = replay.add_argument
    add("--from", dest="first", required=True, metavar="DATE", help="first local date, as 2013-01-01")
    add("--to", dest="last", required=True, metavar="DATE", help="last local date, included")
    add("--speed", default="0", metavar="F", help="seconds of event time per second; 0, the default: as fast as it can")
    add("--late", default="0", metavar="MAX_RATIO[:HOURS]", help="share of events sent later, up to so many hours (24)")
    add("--duplicates", default="0", metavar="MAX_RATIO", help="share of events sent twice")
    add("--corrupt", default="0", metavar="MAX_RATIO", help="share of events imitated by bytes that are no JSON")
    add("--invalid", default="0", metavar="MAX_RATIO", help="share of events imitated by JSON that breaks the contract")
    add("--copies", default="1", metavar="K", help="each flight as K distinct flights")
    add("--seed", default="0", metavar="N", help="the same seed disturbs the same events")
    add("--streams", default="", metavar="A,B", help="only these streams; all if left out")
    return parser


def _replay(asked: argparse.Namespace) -> int:
    # Imported here: --help and a wrong option should not wait for Arrow and Kafka.
    from producers.flights.streams import STREAMS
    from producers.position import Positions
    from producers.replay import Replay, replay
    from sluice.contracts import load_contracts
    from sluice.settings import load_settings

    speed = _number("speed", asked.speed)
    if speed < 0:
        raise TerminalError(f"speed: {asked.speed} is negative", "give 0 for as fast as it can, or more")
    wanted = Replay(
        first=_date("from", asked.first),
        last=_date("to", asked.last),
        speed=speed,
        streams=tuple(name.strip() for name in asked.streams.split(",") if name.strip()) or STREAMS,
        copies=_whole("copies", asked.copies),
        disturbances=_disturbances(asked),
    )
    # Events on their way are no garbage: looking through them after every 700 new objects takes a fifth of the rate.
    gc.set_threshold(50_000)
    settings = load_settings()
    return replay(wanted, settings.kafka, load_contracts(settings.contracts), Positions(settings.home), _say)


def _live() -> int:
    from producers.live import live
    from producers.position import Positions
    from sluice.contracts import load_contracts
    from sluice.settings import load_settings

    settings = load_settings()
    return live(settings.kafka, load_contracts(settings.contracts), Positions(settings.home), _say)


def _disturbances(asked: argparse.Namespace) -> "Faults":
    from producers.fault_injection import Faults

    share, _, hours = asked.late.partition(":")
    return Faults(
        late=_number("late", share),
        late_hours=_number("late", hours) if hours else Faults.late_hours,
        duplicates=_number("duplicates", asked.duplicates),
        corrupt=_number("corrupt", asked.corrupt),
        invalid=_number("invalid", asked.invalid),
        seed=_whole("seed", asked.seed),
    )


def _date(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise TerminalError(f"{option}: {text!r} is no date", "give it as 2013-01-31") from None


def _number(option: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise TerminalError(f"{option}: {text!r} is no number", "give one as 0.05")
    return number


def _whole(option: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise TerminalError(f"{option}: {text!r} is no whole number", "give one as 3") from None


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
