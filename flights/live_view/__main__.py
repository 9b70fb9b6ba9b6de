"""``python -m flights.live_view``: keeps the live view up to date until SIGTERM or Ctrl-C."""

import sys
from functools import partial

from flights.live_view.view import FlightsView
from sluice.live.follower import run
from sluice.service.daemon import run_until_stopped

if __name__ == "__main__":
    sys.exit(run_until_stopped("live", partial(run, FlightsView())))
