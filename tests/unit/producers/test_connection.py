import socket

import pytest

from producers.connection import connect
from sluice.errors import TransientError
from sluice.settings import Settings


@pytest.mark.parametrize("speed", [0, 600])
def test_a_kafka_that_is_down_is_an_error_with_its_address_and_a_hint(speed: float) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        settings = Settings(_env_file=None, kafka_port=port)  # type: ignore[call-arg]
        with pytest.raises(TransientError, match=f"127.0.0.1:{port} is down.*make up"):
            connect(settings, {"weather.observed": "NOAA"}, speed)
