"""``python -m bench.plot results.json results.svg``, in .venv-bench: plots medians as bars and runs as dots."""

import json
import statistics
import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt

PANELS = [
    ("events/s", lambda run: run["events"] / (run["seconds"] - run["start_seconds"])),
    ("CPU-seconds per million", lambda run: (run["cpu"] - run["start_cpu"]) / run["events"] * 1e6),
    ("peak RSS, MiB", lambda run: run["peak"] / 2**20),
]


def main() -> None:
    """Draws one panel per figure."""
    mpl.rcParams["svg.hashsalt"] = "sluice"
    result = json.loads(Path(sys.argv[1]).read_text())
    labels = [contestant["label"] for contestant in result["contestants"]]
    figure, axes = plt.subplots(
        1, len(PANELS), figsize=(13, 0.5 * len(labels) + 1.2), sharey=True, layout="constrained"
    )
    for axis, (title, value) in zip(axes, PANELS, strict=True):
        for row, contestant in enumerate(result["contestants"]):
            values = [value(run) for run in result["runs"] if run["contestant"] == contestant["name"]]
            colour = "#1f6f8b" if contestant["name"] == "sluice" else "#b8c4c9"
            median = statistics.median(values)
            axis.barh(row, median, color=colour)
            axis.plot(values, [row] * len(values), ".", color="#222222", markersize=4)
            text = f"{median:,.0f}" if median >= 100 else f"{median:.2f}"
            position = (max(values), row)
            axis.annotate(text, position, xytext=(5, 0), textcoords="offset points", va="center", fontsize=8)
        axis.set_title(title, fontsize=10)
        axis.margins(x=0.18)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(range(len(labels)), labels, fontsize=9)
    axes[0].invert_yaxis()
    figure.savefig(sys.argv[2], metadata={"Date": None})


if __name__ == "__main__":
    main()
