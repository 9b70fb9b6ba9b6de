"""One kind of work again and again, as a process: ``python -m tests.faults.again load|reload|transform [DATE…]``.

It goes on until its standard input has ended, and then, on a machine where that is too soon for it, until it has done
two rounds, and has had dates to work on unless it loads: another load may have left it none. It prints what it did, as
JSON.
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
    kind, *dates = sys.argv[1:]
    settings = load_settings()
    contracts = load_contracts(settings.contracts)
    days = [date.fromisoformat(day) for day in dates]
    dbt = Dbt(settings, lambda line: None)
    # So that a load of some thousand records has several transactions.
    pipeline.GROUP_BYTES = 100_000
    enough = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), enough.set()), daemon=True).start()
    done = {"rounds": 0, "rows": 0, "dates": 0}
    while not (enough.is_set() and done["rounds"] > 1 and (done["dates"] or kind == "load")):
        done["rounds"] += 1
        if kind == "transform":
            report = transform(settings, contracts, dbt=dbt, run=f"round {done['rounds']}", say=dbt.say)
            done["dates"] += sum(map(len, report.touched.values()))
            continue
        for contract in contracts.values():
            for loaded in [reload(settings, contract, day) for day in days] or [load(settings, contract)]:
                done["rows"] += loaded.rows + loaded.quarantined
                done["dates"] += len(loaded.dates)
    print(json.dumps(done))


if __name__ == "__main__":
    main()
