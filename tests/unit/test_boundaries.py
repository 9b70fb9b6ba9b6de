"""The core runs without Airflow: importing every module outside the orchestration finds none of it."""

import subprocess
import sys

from sluice.settings import ROOT

PROGRAM = """
import importlib, pkgutil, sys

class NoAirflow:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "airflow":
            raise ImportError("airflow is not installed here")

sys.meta_path.insert(0, NoAirflow())
import producers, sluice
count = 0
for package in (sluice, producers):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.startswith("sluice.orchestration.") and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
            count += 1
print(count)
"""


def test_the_core_is_imported_without_airflow() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 50
