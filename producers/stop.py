"""SIGTERM and Ctrl-C as something a loop can ask and wait for."""

import os
import select
import signal
import time
from types import FrameType, TracebackType
from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """While entered, the two signals no longer end the process: they set ``signal`` and end every ``wait`` at once."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self.insisted = False
        """A second signal came: whoever stops should not wait any longer."""
        self._since = 0.0

    def __enter__(self) -> Self:
        # A pipe, because a handler may not take locks: threading.Event's could be held by the code it interrupts.
        self._read, self._write = os.pipe()
        self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._read)
        os.close(self._write)

    def __bool__(self) -> bool:
        return self.signal is not None

    @property
    def code(self) -> int:
        """The exit code that tells the signal, as shells do; 0 without one."""
        return 128 + self.signal if self.signal else 0

    @property
    def age(self) -> float:
        """Seconds since the signal came; 0 without one."""
        return time.monotonic() - self._since if self.signal else 0.0

    def wait(self, seconds: float) -> None:
        """Waits so long, or until a signal comes; not at all after one."""
        select.select([self._read], [], [], max(0.0, seconds))

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.signal is not None:
            self.insisted = True
            return
        self.signal, self._since = signal.Signals(number), time.monotonic()
        os.write(self._write, b"!")
