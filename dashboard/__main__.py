"""``python -m dashboard``: serves the dashboard until SIGTERM or Ctrl-C."""

import logging
import sys

import uvicorn

from dashboard.app import create_app
from sluice.errors import SluiceError
from sluice.settings import load_settings


def main() -> int:
    """Serves the dashboard.

    Returns:
        The exit code: 0 after a requested stop, 1 after an error, which is printed in one line.
    """
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
        # Browsers keep connections open. Without a limit, a stop would wait for them to close.
        timeout_graceful_shutdown=2,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
