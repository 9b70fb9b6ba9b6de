"""One soak, from an empty platform to its result."""

import json
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from sluice.contracts import load_contracts, topic_names
from sluice.kafka.topics import kafka_ranges
from tests.soak.bounds import BOUNDS
from tests.soak.checks import check_all
from tests.soak.feed import Feed, slices
from tests.soak.nemesis import Nemesis
from tests.soak.platform import SoakedPlatform, soaked_platform
from tests.soak.report import Result
from tests.soak.samples import Sampler
from tests.soak.schedule import schedule
from tests.soak.slopes import MIN_SECONDS, slopes
from tests.soak.work import Work

_GIB = 4, 0.45
"""Disk that a soak takes: Postgres's log of changes, and per minute 300,000 events in each of their places."""
_WARM_UP = 10 * 60.0
"""Seconds whose samples are left out: caches and pools fill, and the first of each kind of task has run."""


def soak(minutes: float, seed: int, logs: Path, say: Callable[[str], None]) -> Result:
    """Runs a soak and returns its result.

    Args:
        minutes: how long events are sent and faults are injected; the launch and the checks take longer.
        seed: of the faults, of the input and of the work.
        logs: an existing folder that receives the samples, and the logs of the commands and of the services.
        say: receives the progress, line by line.
    """
    seconds = minutes * 60
    need, free = _GIB[0] + _GIB[1] * minutes, shutil.disk_usage(tempfile.gettempdir()).free / 2**30
    if free < need:
        say(f"warning: it takes about {need:.0f} GiB in {tempfile.gettempdir()}, which has {free:.0f} GiB left")
    with soaked_platform(logs / "commands.log") as platform:
        try:
            return _soak(platform, seconds, seed, logs, say)
        finally:
            shutil.copytree(platform.home / "logs", logs / "services", dirs_exist_ok=True)


def _soak(platform: SoakedPlatform, seconds: float, seed: int, logs: Path, say: Callable[[str], None]) -> Result:
    started = time.monotonic()

    def progress(line: str) -> None:
        say(f"{time.monotonic() - started:6.0f} s  {line}")

    result = Result(seed, seconds / 60)
    feed = Feed(platform, slices(seed, seconds), progress)
    work = Work(platform, feed, seed, progress)
    nemesis = Nemesis(platform, schedule(seed, seconds), progress)
    sampler = Sampler(platform)
    with ExitStack() as stack:
        # Ended in the reverse order: the faults first.
        for part in (sampler, work, nemesis):
            stack.callback(part.end)
        stack.callback(feed.abandon)
        for part in (feed, sampler, work, nemesis):
            part.start()
        # A soak that is interrupted does not wait for what its commands wait for.
        stack.push(lambda kind, *_: platform.interrupt() if kind else None)
        threading.Event().wait(seconds)
        progress("no more faults")
        nemesis.end()
        feed.wait()
        sent = time.monotonic() - started
    (logs / "samples.json").write_text(json.dumps(sampler.samples))
    progress("everything is sent")
    result.events = _records(platform)
    result.rate = result.events / sent
    result.outcomes, result.commands = nemesis.outcomes, work.done
    for check in check_all(platform, feed):
        progress(f"{'holds' if check.holds else 'FAILED'}: {check.name}: {check.detail} ({check.seconds:.0f} s)")
        result.checks.append(check)
    result.problems = nemesis.problems + work.problems
    if seconds - _WARM_UP < MIN_SECONDS:
        result.no_slopes = f"it needs {(_WARM_UP + MIN_SECONDS) / 60:.0f} minutes, the first ten of them to warm up"
    else:
        result.slopes = slopes(sampler.samples, BOUNDS, _WARM_UP)
    return result


def _records(platform: SoakedPlatform) -> int:
    settings = platform.running.settings
    return sum(part.end for part in kafka_ranges(settings, topic_names(load_contracts(settings.contracts))))
