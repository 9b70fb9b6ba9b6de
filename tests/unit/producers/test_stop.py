import os
import signal
import threading
import time

from producers.stop import Stop


def test_a_signal_ends_a_wait_at_once_and_gives_its_exit_code() -> None:
    with Stop() as stop:
        assert not stop
        assert stop.code == 0
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
        began = time.monotonic()
        stop.wait(10)
        assert time.monotonic() - began < 5
        assert stop.signal is signal.SIGTERM
        assert stop.code == 143
        stop.wait(10)
        assert time.monotonic() - began < 5


def test_ctrl_c_raises_nothing_and_a_second_one_insists() -> None:
    with Stop() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert (stop.code, stop.insisted) == (130, False)
        os.kill(os.getpid(), signal.SIGINT)
        assert (stop.code, stop.insisted) == (130, True)


def test_the_former_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Stop():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
