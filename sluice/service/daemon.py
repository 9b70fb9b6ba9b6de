"""Runs a long-lived program until SIGTERM or Ctrl-C, and prints an error as one line."""

import logging
import signal
import sys
import threading
from collections.abc import Callable

from sluice.errors import SluiceError
from sluice.settings import Settings, load_settings


def run_until_stopped(name: str, run: Callable[[Settings, threading.Event], None]) -> int:
    """Calls ``run`` with the settings and an event that SIGTERM or Ctrl-C sets.

    Returns:
        The exit code of the process: 0 after a requested stop, 1 after an error.
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
