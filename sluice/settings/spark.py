"""Where Spark is installed: the cluster's servers and the programs that use it run from the same folders."""

from pathlib import Path

from sluice.settings.settings import ROOT

SPARK_PYTHON = ROOT / ".venv-spark" / "bin" / "python"
"""Python with Spark's packages, for programs that use the cluster and for Python code within it."""
SPARK_JARS = ROOT / ".tools" / "spark-jars-1"
"""The jars for Delta tables and S3, which Spark's packages lack; named by the version in ``infra/spark/pom.xml``."""
SPARK_JAVA_HOME = ROOT / ".tools" / "spark-java"
"""A link to the Java that runs Spark. Programs that use the cluster set JAVA_HOME to it: not every Java will do."""


def spark_home() -> Path:
    """Returns the folder of Spark's own programs and jars, within the Python package."""
    version = next((SPARK_PYTHON.parent.parent / "lib").glob("python3.*"), Path("python3"))
    return SPARK_PYTHON.parent.parent / "lib" / version.name / "site-packages" / "pyspark"
