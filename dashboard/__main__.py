"""``python -m dashboard``: serves the dashboard until SIGTERM or Ctrl-C."""

import logging
import sys

import uvicorn

from dashboard.app import create_app
from sluice.errors import SluiceError
from sluice.settings import load_settings


def main() -> int:
    """The process's exit code: 0 after a stop that was asked for, 1 after a fault, said in one line."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("kafka").setLevel(logging.ERROR)
    try:
        settings = load_settings()
        application = create_app(settings)
    except SluiceError as error:
        print(f"sluice dashboard: {error}", file=sys.stderr)
        return 1
    uvicorn.run(
        application,
        host=settings.dashboard_host,
        port=settings.dashboard_port,
        log_level="warning",
        access_log=False,
        server_header=False,
        # Browsers keep connections open, and it would wait for them.
        timeout_graceful_shutdown=2,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
