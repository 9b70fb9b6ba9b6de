"""``python -m bench.backfill.plot results.json results.svg``, in .venv-bench: plots by dates and by months loaded."""

import json
import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt


def main() -> None:
    """Draws one panel per plot."""
    mpl.rcParams["svg.hashsalt"] = "sluice"
    result = json.loads(Path(sys.argv[1]).read_text())
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained")
    panels = (("lengths", "dates", "dates (12 months loaded)"), ("stages", "months", "months loaded (7 dates)"))
    for axis, (name, key, title) in zip(axes, panels, strict=True):
        for value, colour in (("cpu", "#b8c4c9"), ("seconds", "#1f6f8b")):
            x_values, y_values = [run[key] for run in result[name]], [run[value] for run in result[name]]
            axis.plot(x_values, y_values, "o-", color=colour, label="CPU-seconds" if value == "cpu" else "seconds")
        axis.set_xlabel(title)
        axis.set_ylim(bottom=0)
        axis.legend(frameon=False, fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(sys.argv[2], metadata={"Date": None})


if __name__ == "__main__":
    main()
