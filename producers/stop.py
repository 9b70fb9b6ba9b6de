"""SIGTERM and Ctrl-C as a flag that a loop can check and wait for."""

import os
import select
import signal
import time
from types import FrameType, TracebackType
from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """A context in which the two signals do not end the process: they set ``signal`` and interrupt every ``wait``."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self.forced = False
        """Whether a second signal has arrived: the caller should stop without waiting any longer."""
        self._since = 0.0

    def __enter__(self) -> Self:
        # A pipe, because a signal handler must not take locks: the code it interrupts may hold that of threading.Event.
        self._read, self._write = os.pipe()
        self._previous = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        os.close(self._read)
        os.close(self._write)

    def __bool__(self) -> bool:
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """128 plus the signal's number, as in a shell; 0 without a signal."""
        return 128 + self.signal if self.signal else 0

    @property
    def age(self) -> float:
        """Seconds since the signal arrived; 0 without a signal."""
        return time.monotonic() - self._since if self.signal else 0.0

    def wait(self, seconds: float) -> None:
        """Waits for ``seconds`` or until a signal arrives; returns at once if one has arrived already."""
        select.select([self._read], [], [], max(0.0, seconds))

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self.signal is not None:
            self.forced = True
            return
        self.signal, self._since = signal.Signals(number), time.monotonic()
        os.write(self._write, b"!")
