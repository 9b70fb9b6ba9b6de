"""Ends a program that this one has started."""

import subprocess


def stop_child(process: "subprocess.Popen[str]") -> None:
    """Terminates a process if it is running, kills it after ten seconds, and waits for it to exit."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
