"""Charts as data for the script."""

import json
from datetime import UTC, datetime, timedelta

from dashboard.charts import Chart, Series, spans, sparkline
from dashboard.queries import DagRun
from dashboard.runs import runs_chart

START = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_chart_is_json_and_absent_values_stay_absent() -> None:
    chart = Chart("Rows", [0, 3_600], [Series("a", "bars", "live", (1, None))], step=3_600, shaded=[(3_600, 7_200)])
    data = json.loads(json.dumps(chart.data()))
    assert data["series"][0]["values"] == [1, None]
    assert data["shaded"] == [[3_600, 7_200]]


def test_adjacent_times_are_one_span() -> None:
    times = [0, 10, 20, 40, 50]
    assert spans(times, [True, True, False, True, True], 10) == [(0, 20), (40, 60)]
    assert spans(times, [False] * 5, 10) == []


def test_a_sparkline_has_equal_distances() -> None:
    assert list(sparkline("rows", [5, 6, 7], "live").times) == [0, 1, 2]


def test_runs_have_a_lane_per_dag_and_a_colour_per_state() -> None:
    def run(dag_id: str, state: str, minute: int) -> DagRun:
        start = START + timedelta(minutes=minute)
        return DagRun(dag_id, f"r{minute}", state, "scheduled", start, start + timedelta(seconds=7))

    queued = DagRun("transform", "q", "queued", "manual", None, None)
    chart = runs_chart(
        [run("transform", "failed", 2), run("load_a", "success", 1), queued, run("transform", "running", 3)]
    )
    assert chart is not None
    # The first lane is the lowest.
    assert list(chart.lanes) == ["transform", "load_a"]
    values = {series.label: list(series.values) for series in chart.series}
    assert values == {"Succeeded": [1, None, None], "Running": [None, None, 0], "Failed": [None, 0, None]}
    assert chart.notes[0] == "load_a: success, 7 s"
    assert runs_chart([queued]) is None
