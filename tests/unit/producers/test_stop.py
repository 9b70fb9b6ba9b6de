import os
import signal
import threading
import time

from producers.stop import Stop


def test_a_signal_interrupts_a_wait_and_sets_the_exit_code() -> None:
    with Stop() as stop:
        assert not stop
        assert stop.exit_code == 0
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
        started = time.monotonic()
        stop.wait(120)
        assert time.monotonic() - started < 60
        assert stop.signal is signal.SIGTERM
        assert stop.exit_code == 143
        stop.wait(120)
        assert time.monotonic() - started < 60


def test_ctrl_c_raises_nothing_and_a_second_one_forces_the_stop() -> None:
    with Stop() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert (stop.exit_code, stop.forced) == (130, False)
        os.kill(os.getpid(), signal.SIGINT)
        assert (stop.exit_code, stop.forced) == (130, True)


def test_the_previous_handlers_are_restored() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Stop():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
