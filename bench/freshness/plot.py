"""``python -m bench.freshness.plot results.json results.svg``, in .venv-bench: plots the shares by seconds."""

import json
import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt

from bench.freshness.report import schedule

COLOURS = {"live": "#c65d21", "lake": "#7a9e9f", "raw": "#1f6f8b", "marts": "#222222"}


def main() -> None:
    """Draws one panel per run."""
    mpl.rcParams["svg.hashsalt"] = "sluice"
    result = json.loads(Path(sys.argv[1]).read_text())
    runs = result["runs"]
    figure, axes = plt.subplots(1, len(runs), figsize=(10, 3.2), sharey=True, layout="constrained", squeeze=False)
    for axis, run in zip(axes[0], runs, strict=True):
        for place, distribution in run["places"].items():
            delays = distribution["delays"]
            shares = [(number + 1) / len(delays) for number in range(len(delays))]
            axis.step([max(delay, 0.05) for delay in delays], shares, where="post", color=COLOURS[place], label=place)
        axis.set_xscale("log")
        axis.set_xlabel("seconds")
        axis.set_title(f"{run['rate']:,} events/s, loads {schedule(run)}", fontsize=9)
        axis.legend(frameon=False, fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("share of the records")
    figure.savefig(sys.argv[2], metadata={"Date": None})


if __name__ == "__main__":
    main()
