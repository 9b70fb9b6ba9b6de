"""The Airflow side of the platform: operators, retry policy, DAG factory and REST client.

Only this package and ``dags/`` import Airflow. ``rest``, ``follow``, ``batch`` and ``history`` do not, for the CLI.
"""
