"""Gives Airflow a home of its own before anything imports it: it writes its configuration there."""

import os
import tempfile

os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="sluice-airflow-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
