"""Sets a separate AIRFLOW_HOME before anything imports Airflow, which writes its configuration there."""

import os
import tempfile

HOME = tempfile.TemporaryDirectory(prefix="sluice-airflow-")
os.environ["AIRFLOW_HOME"] = HOME.name
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
