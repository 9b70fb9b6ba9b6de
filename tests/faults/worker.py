"""A process that repeats one kind of work: ``python -m tests.faults.worker load|reload|transform [DATE…]``.

It continues until its standard input is closed. On a slow machine it then continues until it has done two rounds and,
unless it loads, has had dates to work on; a load may find that another one was faster. It prints its counts as JSON.
"""

import json
import sys
import threading
from datetime import date

from sluice.contracts import load_contracts
from sluice.load import load, pipeline, reload
from sluice.settings import load_settings
from sluice.transform import transform
from sluice.transform.dbt import Dbt


def main() -> None:
    task, *dates = sys.argv[1:]
    settings = load_settings()
    contracts = load_contracts(settings.contracts)
    days = [date.fromisoformat(day) for day in dates]
    dbt = Dbt(settings, lambda line: None)
    # A load of a few thousand records then takes several transactions.
    pipeline.GROUP_BYTES = 100_000
    stopping = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stopping.set()), daemon=True).start()
    counts = {"rounds": 0, "rows": 0, "dates": 0}
    while not (stopping.is_set() and counts["rounds"] > 1 and (counts["dates"] or task == "load")):
        counts["rounds"] += 1
        if task == "transform":
            built = transform(settings, contracts, dbt=dbt, run=f"round {counts['rounds']}", log_line=dbt.log_line)
            counts["dates"] += sum(map(len, built.dates.values()))
            continue
        for contract in contracts.values():
            for report in [reload(settings, contract, day) for day in days] or [load(settings, contract)]:
                counts["rows"] += report.rows + report.quarantined
                counts["dates"] += len(report.dates)
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
