import io

from producers.progress import LineProgress, open_progress

MOMENT = 1_357_035_420_000


def test_plain_output_gets_a_line_every_few_seconds() -> None:
    now, out = 0.0, io.StringIO()
    progress = LineProgress(10_000, out, lambda: now)
    progress.show(10, MOMENT)
    assert out.getvalue() == ""
    now = 5.0
    progress.show(5_000, MOMENT)
    progress.show(5_001, MOMENT)
    now = 10.0
    progress.show(5_000)
    assert out.getvalue().splitlines() == [
        "2013-01-01T10:17Z  5,000 of about 10,000 confirmed, 1,000/s, 5 s left",
        "2013-01-01T10:17Z  5,000 of about 10,000 confirmed, 0/s",
    ]


def test_a_terminal_gets_a_progress_bar_with_counts() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    with open_progress(200, out) as progress:
        progress.show(150, MOMENT)
    assert "150/200" in out.getvalue()
    assert "2013-01-01T10:17Z" in out.getvalue()
