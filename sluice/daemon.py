"""A program that runs until it is told to stop, and says a fault in one line."""

import logging
import signal
import sys
import threading
from collections.abc import Callable

from sluice.errors import SluiceError
from sluice.settings import Settings, load_settings


def run_until_stopped(name: str, run: Callable[[Settings, threading.Event], None]) -> int:
    """Runs with the settings until SIGTERM or Ctrl-C, which set the event.

    Returns:
        The process's exit code: 0 after a stop that was asked for, 1 after a fault.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("kafka").setLevel(logging.WARNING)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        run(load_settings(), stopping)
    except SluiceError as error:
        print(f"sluice {name}: {error}", file=sys.stderr)
        return 1
    return 0
